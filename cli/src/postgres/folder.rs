//! The folder of one throwaway server: its data, its socket and its log.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::PathBuf;
use std::{env, process};

use anyhow::Context;

use super::account::{Account, reaches};

/// The longest folder whose socket still fits a socket address (104 bytes on macOS, 108 on Linux).
const FOLDER_LENGTH_MAX: usize = 80;

/// A new folder that only the server's account can enter.
pub(super) fn create_folder(account: Option<Account>) -> anyhow::Result<PathBuf> {
    let name = format!("relay-postgres-{}-{:08x}", process::id(), rand::random::<u32>());
    let places = [env::temp_dir(), "/tmp".into()];
    let fits = |place: &&PathBuf| {
        reaches(account, place) && place.join(&name).as_os_str().len() <= FOLDER_LENGTH_MAX
    };
    let place =
        places.iter().find(fits).context("no temporary folder is short and open enough for PostgreSQL")?;
    let folder = place.join(name);
    DirBuilder::new().mode(0o700).create(&folder).with_context(|| format!("create {}", folder.display()))?;
    if let Some(Account { uid, gid }) = account {
        chown(&folder, Some(uid), Some(gid)).with_context(|| format!("give {} away", folder.display()))?;
    }
    Ok(folder)
}
