//! On AWS: keys in KMS, secrets in Secrets Manager, and connections that are what they say and outlive what befalls them.

mod connections;
mod kms;
mod pinning;
mod rotation;
mod secrets;
mod service_login;
mod tls;
mod way;

use tests::aws::Aws;
use tests::world::World;

type Settings = Vec<(&'static str, String)>;

/// The world's settings on AWS, with some replaced; an empty one counts as missing.
fn on(aws: &Aws, world: &World, replaced: &[(&'static str, &str)]) -> Settings {
    replace(world.environment().into_iter().chain(aws.environment()).collect(), replaced)
}

fn replace(mut settings: Settings, replaced: &[(&'static str, &str)]) -> Settings {
    for (name, value) in replaced {
        settings.retain(|(known, _)| known != name);
        settings.push((name, (*value).to_owned()));
    }
    settings
}
