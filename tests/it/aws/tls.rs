//! TLS to the database: certificate, host name and expiry are verified, and nothing goes in plain text to another machine.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use shared::boot::{Config, migrate, open_context};
use shared::domain::Secret;
use shared::store::{DatabaseConfig, Store};
use tests::world::{VAULT_KEY, config};
use uuid::Uuid;

use super::connections::Server;

/// An authority of a test.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        // Two of one name would be told apart by their signatures alone.
        params.distinguished_name.push(DnType::CommonName, Uuid::new_v4().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// A certificate for this name, good until the end of this year, and its key.
    fn certify(&self, name: &str, until: i32) -> anyhow::Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

/// Lets the server show this certificate from now on.
async fn show(server: &Server, name: &str, (certificate, key): (String, String)) -> anyhow::Result<()> {
    let certificate = server.put_file(&format!("{name}.crt"), &certificate)?;
    let key = server.put_file(&format!("{name}.key"), &key)?;
    for (setting, value) in [("ssl_cert_file", &certificate), ("ssl_key_file", &key)] {
        server.sql(&format!("alter system set {setting} = '{}'", value.display())).await?;
    }
    server.sql("alter system set ssl = on").await?;
    server.sql("select pg_reload_conf()").await?;
    // A new session has what its parent had read, and the parent reads all of it at once.
    let shown = format!(
        "select count(*) from pg_settings where name = 'ssl_cert_file' and setting = '{}'",
        certificate.display()
    );
    while server.number(&shown).await? == 0 {
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn settings(url: String, ca_file: &str) -> Config {
    config([
        ("DATABASE_URL", url),
        ("APP_ENV", "development".to_owned()),
        ("VAULT_KEY", VAULT_KEY.to_owned()),
        ("DATABASE_CA_FILE", ca_file.to_owned()),
    ])
}

#[tokio::test]
async fn a_server_is_who_it_says_or_nobody() -> anyhow::Result<()> {
    let server = Server::new().await?;
    let (ours, foreign) = (Authority::new()?, Authority::new()?);
    let trusted = server.put_file("ours.pem", &ours.pem)?.display().to_string();
    let url = server.url_at("localhost") + "?sslmode=require";

    show(&server, "good", ours.certify("localhost", 2099)?).await?;
    open_context(&settings(url.clone(), &trusted)).await?;
    migrate(&settings(url.replace("relay_service@", "postgres@"), &trusted)).await?;

    let wrong = [
        ("foreign", foreign.certify("localhost", 2099)?, "UnknownIssuer"),
        ("elsewhere", ours.certify("db.example.com", 2099)?, "not valid for name"),
        ("expired", ours.certify("localhost", 2021)?, "expired"),
    ];
    for (name, certificate, told) in wrong {
        show(&server, name, certificate).await?;
        let refused = open_context(&settings(url.clone(), &trusted)).await.err();
        let refused =
            format!("{:#}", anyhow::Error::from(refused.expect("a server that is not who it says")));
        assert!(refused.contains(told), "{name}: {refused}");
    }
    // By what this machine trusts, without a file, it is nobody either.
    show(&server, "good-again", ours.certify("localhost", 2099)?).await?;
    assert!(open_context(&settings(url, "")).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_connection_that_may_be_encrypted_is() -> anyhow::Result<()> {
    let server = Server::new().await?;
    let ours = Authority::new()?;
    let trusted = server.put_file("ours.pem", &ours.pem)?.display().to_string();
    show(&server, "good", ours.certify("localhost", 2099)?).await?;

    let url = server.url_at("localhost") + "?sslmode=verify-full";
    let context = open_context(&settings(url, &trusted)).await?;

    let encrypted = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'relay_service' and ssl";
    assert_eq!(server.number(encrypted).await?, 1);
    drop(context);
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_on_another_machine_is_not_talked_to() -> anyhow::Result<()> {
    let server = Server::new().await?;
    // The same server by a name that is not plainly this machine.
    let url = server.url_at("localhost.") + "?sslmode=disable";

    let refused = open_context(&settings(url, "")).await.err().expect("plain text to another machine");

    let told = format!("{:#}", anyhow::Error::from(refused));
    assert!(told.contains("TLS") || told.contains("lookup"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_file_of_certificates_that_is_none_is_refused_by_name() -> anyhow::Result<()> {
    let server = Server::new().await?;
    let none = server.put_file("none.pem", "no certificate")?.display().to_string();

    for (file, told) in [
        (none.as_str(), "DATABASE_CA_FILE holds no certificate in PEM"),
        ("/nowhere/ca.pem", "DATABASE_CA_FILE cannot be read"),
    ] {
        let refused = open_context(&settings(server.url_at("localhost"), file)).await.err().expect(told);
        let refused = format!("{:#}", anyhow::Error::from(refused));
        assert!(refused.contains(told), "{refused}");
    }
    Ok(())
}

/// Whoever is not RDS has no certificate of RDS's roots, and the roots of this machine are not asked for its names: that the
/// file in the repository can be read is seen by how far a connection comes.
#[tokio::test]
async fn the_certificates_of_rds_are_there_for_its_names() -> anyhow::Result<()> {
    let url =
        Secret::new("postgresql://u:p@no-such-database.abc.eu-central-1.rds.amazonaws.com/x".to_owned());
    let database = DatabaseConfig::parse(&url).map_err(anyhow::Error::msg)?;

    let Err(unreachable) = Store::connect(&database).await else { panic!("there is no such host") };

    assert!(unreachable.to_string().contains("cannot be reached"), "{unreachable}");
    Ok(())
}
