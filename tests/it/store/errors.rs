//! What an error of the database tells.

use shared::domain::{KeyVersion, ProviderKey, SiteId};
use shared::store::AccountFacts;
use tests::world::World;
use uuid::Uuid;

#[tokio::test]
async fn an_error_of_the_database_quotes_no_row() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = SiteId(Uuid::new_v4());

    let unknown_key = KeyVersion(4711);
    let facts = AccountFacts {
        quota_key: "quota",
        client_key: "client",
        transport: "data_manager",
        conversion_action: "",
        per_minute: None,
        per_day: None,
    };
    let refused = world
        .context
        .store
        .keep_provider_account(site, ProviderKey::GoogleAds, unknown_key, b"sealed", &facts)
        .await
        .map_err(anyhow::Error::from);

    let told = format!("{:#}", refused.unwrap_err());
    assert!(told.contains("provider_credentials_key_version_fkey"), "{told}");
    assert!(!told.contains("4711") && !told.contains("DETAIL"), "{told}");
    Ok(())
}
