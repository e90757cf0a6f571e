//! What the vault promises: a secret opens where it belongs and nowhere else, and one key opens for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shared::domain::{KeyVersion, Secret};
use shared::vault::{
    Binding, DataKey, InvalidVaultKey, KEY_LIFETIME, KeyContext, KeyFuture, KeySource, LocalKey,
    OPEN_KEYS_MAX, Purpose, SECRET_BYTES_MAX, Vault, VaultError, WrappedKey, open, seal,
};
use uuid::Uuid;

/// Base64 of 32 times 0x11 and of 32 times 0x22.
const VAULT_KEY: &str = "ERERERERERERERERERERERERERERERERERERERERERE=";
const OTHER_VAULT_KEY: &str = "IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiI=";

const FIRST: KeyVersion = KeyVersion(1);
const SECOND: KeyVersion = KeyVersion(2);
const TEXT: &str = r#"{"refresh_token":"1//0abc"}"#;

const CREDENTIALS: Binding<'static> = Binding {
    purpose: Purpose::Credentials,
    site: Uuid::from_u128(0x11),
    provider: "google_ads",
    key_version: FIRST,
};

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

fn local_key(vault_key: &str) -> LocalKey {
    LocalKey::new(&secret(vault_key)).expect("the test's vault key is well formed")
}

fn vault(source: impl KeySource + 'static) -> Vault {
    Vault::new(Box::new(source), "staging", Instant::now)
}

/// A local key that counts how often it is asked, and gives way first, so that others can come meanwhile.
struct Counted {
    key: LocalKey,
    unwraps: Arc<AtomicUsize>,
}

impl Counted {
    fn new() -> (Self, Arc<AtomicUsize>) {
        let unwraps = Arc::new(AtomicUsize::new(0));
        (Self { key: local_key(VAULT_KEY), unwraps: Arc::clone(&unwraps) }, unwraps)
    }
}

impl KeySource for Counted {
    fn generate_data_key<'a>(&'a self, context: KeyContext<'a>) -> KeyFuture<'a, (DataKey, WrappedKey)> {
        self.key.generate_data_key(context)
    }

    fn unwrap_data_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: KeyContext<'a>,
    ) -> KeyFuture<'a, DataKey> {
        self.unwraps.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.key.unwrap_data_key(wrapped, context).await
        })
    }
}

/// A data key as another process stored it.
async fn stored_key(version: KeyVersion) -> WrappedKey {
    vault(local_key(VAULT_KEY)).create_key(version).await.unwrap()
}

#[track_caller]
fn does_not_open(sealed_for: Binding<'_>, opened_for: Binding<'_>) {
    let key = DataKey::random().unwrap();
    let sealed = seal(&key, sealed_for, &secret(TEXT)).unwrap();

    let refused = open(&key, opened_for, &sealed).unwrap_err();

    assert!(matches!(refused, VaultError::DoesNotOpen), "{refused}");
}

#[tokio::test]
async fn what_was_sealed_opens_where_it_belongs() {
    let vault = vault(local_key(VAULT_KEY));
    let wrapped = vault.create_key(FIRST).await.unwrap();
    let sealed = vault.seal(&wrapped, CREDENTIALS, &secret(TEXT)).await.unwrap();

    let opened = vault.open(&wrapped, CREDENTIALS, &sealed).await.unwrap();

    assert_eq!(opened.expose(), TEXT);
}

#[test]
fn a_credential_copied_to_another_site_does_not_open() {
    does_not_open(CREDENTIALS, Binding { site: Uuid::from_u128(0x12), ..CREDENTIALS });
}

#[test]
fn a_credential_copied_to_another_provider_does_not_open() {
    does_not_open(CREDENTIALS, Binding { provider: "meta", ..CREDENTIALS });
}

#[test]
fn a_credential_copied_to_another_key_version_does_not_open() {
    does_not_open(CREDENTIALS, Binding { key_version: SECOND, ..CREDENTIALS });
}

#[test]
fn a_token_does_not_open_as_credentials() {
    does_not_open(Binding { purpose: Purpose::AccessToken, ..CREDENTIALS }, CREDENTIALS);
}

#[test]
fn credentials_do_not_open_as_a_token() {
    does_not_open(CREDENTIALS, Binding { purpose: Purpose::AccessToken, ..CREDENTIALS });
}

#[test]
fn a_flipped_bit_does_not_open() {
    let key = DataKey::random().unwrap();
    let sealed = seal(&key, CREDENTIALS, &secret(TEXT)).unwrap();

    let refused = |bit: usize| {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        matches!(open(&key, CREDENTIALS, &changed), Err(VaultError::DoesNotOpen))
    };

    assert!((0..sealed.len() * 8).all(refused));
}

#[test]
fn a_cut_or_lengthened_value_does_not_open() {
    let key = DataKey::random().unwrap();
    let sealed = seal(&key, CREDENTIALS, &secret(TEXT)).unwrap();
    let longer = [sealed.as_slice(), &[0]].concat();

    let refused = |value: &[u8]| matches!(open(&key, CREDENTIALS, value), Err(VaultError::DoesNotOpen));

    assert!((0..sealed.len()).all(|length| refused(&sealed[..length])));
    assert!(refused(&longer));
}

#[test]
fn sealing_twice_gives_two_values() {
    let key = DataKey::random().unwrap();
    let first = seal(&key, CREDENTIALS, &secret(TEXT)).unwrap();

    let second = seal(&key, CREDENTIALS, &secret(TEXT)).unwrap();

    assert_ne!(first, second);
}

#[test]
fn a_secret_of_the_largest_size_goes_round() {
    let key = DataKey::random().unwrap();
    let sealed = seal(&key, CREDENTIALS, &secret(&"x".repeat(SECRET_BYTES_MAX))).unwrap();

    let opened = open(&key, CREDENTIALS, &sealed).unwrap();

    assert_eq!(opened.expose().len(), SECRET_BYTES_MAX);
}

#[test]
fn a_secret_beyond_the_limit_is_refused() {
    let too_large = secret(&"x".repeat(SECRET_BYTES_MAX + 1));

    let refused = seal(&DataKey::random().unwrap(), CREDENTIALS, &too_large).unwrap_err();

    assert!(matches!(refused, VaultError::TooLarge { bytes } if bytes == SECRET_BYTES_MAX + 1));
}

/// Rows outlive programs, so the layout and the associated data must not change by accident. Made with Python's
/// `cryptography` 48.0: key 32 × 0x11, nonce 12 × 0x32, and as associated data, each field after its length in
/// 8 bytes: `conversion-relay/vault/1`, `credentials`, `conversion-relay`, the site, `google_ads`, 00 00 00 01.
#[test]
fn a_value_sealed_by_another_implementation_opens() {
    let key = DataKey::from_slice(&[0x11; 32]).unwrap();
    let hex = "01323232323232323232323232f928458097fe269ed9b234928d3d2aa47b0d00e4e52ff8";
    let sealed: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();

    let opened = open(&key, CREDENTIALS, &sealed).unwrap();

    assert_eq!(opened.expose(), "1//0abc");
}

#[tokio::test]
async fn two_key_versions_open_at_once() {
    let (source, unwraps) = Counted::new();
    let vault = vault(source);
    let (old, new) = (stored_key(FIRST).await, stored_key(SECOND).await);
    let newer = Binding { key_version: SECOND, ..CREDENTIALS };
    let under_old = vault.seal(&old, CREDENTIALS, &secret("old")).await.unwrap();
    let under_new = vault.seal(&new, newer, &secret("new")).await.unwrap();

    let opened_old = vault.open(&old, CREDENTIALS, &under_old).await.unwrap();
    let opened_new = vault.open(&new, newer, &under_new).await.unwrap();

    assert_eq!((opened_old.expose(), opened_new.expose()), ("old", "new"));
    assert_eq!(unwraps.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_key_that_lost_the_race_to_be_stored_seals_nothing() {
    let loser = vault(local_key(VAULT_KEY));
    loser.create_key(FIRST).await.unwrap();
    let stored = stored_key(FIRST).await;
    let sealed = loser.seal(&stored, CREDENTIALS, &secret(TEXT)).await.unwrap();

    let opened = vault(local_key(VAULT_KEY)).open(&stored, CREDENTIALS, &sealed).await.unwrap();

    assert_eq!(opened.expose(), TEXT);
}

#[tokio::test]
async fn the_wrong_vault_key_says_so() {
    let wrapped = stored_key(KeyVersion(7)).await;

    let refused = vault(local_key(OTHER_VAULT_KEY)).unlock(KeyVersion(7), &wrapped).await.unwrap_err();

    assert!(matches!(refused, VaultError::KeyRefused { version: KeyVersion(7), .. }));
    assert!(refused.to_string().starts_with("VAULT_KEY does not open key version 7: set the VAULT_KEY"));
}

#[tokio::test]
async fn a_data_key_of_another_environment_does_not_unwrap() {
    let wrapped = stored_key(FIRST).await;
    let elsewhere = Vault::new(Box::new(local_key(VAULT_KEY)), "development", Instant::now);

    let refused = elsewhere.unlock(FIRST, &wrapped).await.unwrap_err();

    assert!(matches!(refused, VaultError::KeyRefused { .. }));
}

#[tokio::test]
async fn a_data_key_of_another_version_does_not_unwrap() {
    let wrapped = stored_key(FIRST).await;

    let refused = vault(local_key(VAULT_KEY)).unlock(SECOND, &wrapped).await.unwrap_err();

    assert!(matches!(refused, VaultError::KeyRefused { version: SECOND, .. }));
}

#[test]
fn a_vault_key_of_the_wrong_length_is_refused_without_echo() {
    let short = "c2hvcnQ=";

    let refused = LocalKey::new(&secret(short)).unwrap_err();

    assert!(matches!(refused, InvalidVaultKey::WrongLength { bytes: 5 }));
    let message = refused.to_string();
    assert!(message.starts_with("is base64 of 5 bytes") && message.contains("exactly 32 bytes"));
    assert!(!message.contains(short) && !message.contains("short"));
}

#[test]
fn a_vault_key_that_is_not_base64_is_refused_without_echo() {
    let not_base64 = VAULT_KEY.replace('R', "§");

    let refused = LocalKey::new(&secret(&not_base64)).unwrap_err();

    assert!(matches!(refused, InvalidVaultKey::NotBase64));
    let message = refused.to_string();
    assert!(message.starts_with("is not") && message.contains("exactly 32 bytes"));
    assert!(!message.contains('§') && !message.contains("ER"));
}

#[test]
fn a_vault_key_with_a_line_break_after_it_is_read() {
    assert!(LocalKey::new(&secret(&format!("{VAULT_KEY}\n"))).is_ok());
}

#[test]
fn debug_prints_nothing_of_a_secret() {
    let (one, another) = (secret(TEXT), secret(""));

    assert_eq!(format!("{one:?} {another:?} {:?}", local_key(VAULT_KEY)), {
        "Secret(…) Secret(…) LocalKey(DataKey(…))"
    });
}

#[test]
fn a_secret_that_is_no_string_is_refused_without_echo() {
    // Fractions keep every digit, and therefore come to a visitor as maps.
    for (found, document) in
        [("a number", "4815"), ("map", "-48.15"), ("a boolean", "true"), ("map", r#"{"a":"4815"}"#)]
    {
        let refused = serde_json::from_str::<Secret>(document).unwrap_err().to_string();

        assert!(refused.contains(found), "{refused}");
        assert!(!refused.contains("48") && !refused.contains("true"), "{refused}");
    }
}

#[test]
fn a_secret_is_read_from_a_string_with_escapes() {
    let read: Secret = serde_json::from_str(r#""1\/\/0a\u0062c""#).unwrap();

    assert_eq!(read.expose(), "1//0abc");
}

#[test]
fn a_secret_matches_itself_alone() {
    let known = secret("correct horse");

    let matched =
        ["correct horse", "correct hors", "correct horsf", "correct horse ", ""].map(|c| known.matches(c));

    assert_eq!(matched, [true, false, false, false, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_thousand_sites_cost_one_unwrap() {
    let (source, unwraps) = Counted::new();
    let (vault, wrapped) = (Arc::new(vault(source)), Arc::new(stored_key(FIRST).await));

    let sites = (0..1000).map(|site| {
        let (vault, wrapped) = (Arc::clone(&vault), Arc::clone(&wrapped));
        tokio::spawn(async move {
            let binding = Binding { site: Uuid::from_u128(site), ..CREDENTIALS };
            let sealed = vault.seal(&wrapped, binding, &secret(TEXT)).await.unwrap();
            vault.open(&wrapped, binding, &sealed).await.unwrap();
        })
    });
    for site in sites.collect::<Vec<_>>() {
        site.await.unwrap();
    }

    assert_eq!(unwraps.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_created_key_is_open_already() {
    let (source, unwraps) = Counted::new();
    let vault = vault(source);
    let wrapped = vault.create_key(FIRST).await.unwrap();

    vault.seal(&wrapped, CREDENTIALS, &secret(TEXT)).await.unwrap();

    assert_eq!(unwraps.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_key_to_the_next() {
    let (source, unwraps) = Counted::new();
    let (vault, wrapped) = (Arc::new(vault(source)), stored_key(FIRST).await);
    let (same_vault, same_key) = (Arc::clone(&vault), wrapped.clone());
    let abandoned = tokio::spawn(async move { same_vault.unlock(FIRST, &same_key).await });
    tokio::task::yield_now().await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());

    vault.unlock(FIRST, &wrapped).await.unwrap();

    assert_eq!(unwraps.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_cache_forgets_after_its_time() {
    let (source, unwraps) = Counted::new();
    let (start, passed) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let hand = Arc::clone(&passed);
    let clock = move || start + Duration::from_secs(hand.load(Ordering::SeqCst));
    let vault = Vault::new(Box::new(source), "staging", clock);
    let wrapped = stored_key(FIRST).await;

    let mut counts = Vec::new();
    for seconds in [0, KEY_LIFETIME.as_secs() - 1, KEY_LIFETIME.as_secs(), KEY_LIFETIME.as_secs() + 1] {
        passed.store(seconds, Ordering::SeqCst);
        vault.unlock(FIRST, &wrapped).await.unwrap();
        counts.push(unwraps.load(Ordering::SeqCst));
    }

    assert_eq!(counts, [1, 1, 2, 2]);
}

#[tokio::test]
async fn beyond_its_limit_the_cache_forgets_the_oldest() {
    let (source, unwraps) = Counted::new();
    let vault = vault(source);
    let mut stored = Vec::new();
    for version in 0..=OPEN_KEYS_MAX as i32 {
        stored.push((KeyVersion(version), stored_key(KeyVersion(version)).await));
    }
    for (version, wrapped) in &stored {
        vault.unlock(*version, wrapped).await.unwrap();
    }
    let all = stored.len();

    for (version, wrapped) in [&stored[all - 1], &stored[1], &stored[0]] {
        vault.unlock(*version, wrapped).await.unwrap();
    }

    assert_eq!(unwraps.load(Ordering::SeqCst), all + 1);
}
