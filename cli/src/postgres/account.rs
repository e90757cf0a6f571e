//! Which account the server runs as: PostgreSQL refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

/// An account other than root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The account to drop to, or nothing where this process is an ordinary user.
pub(super) fn account_to_drop_to() -> anyhow::Result<Option<Account>> {
    // SAFETY: geteuid has no arguments, touches no memory of ours and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let account = choose_account(&passwd).context(
        "postgresql does not run as root, and /etc/passwd names no other account; \
         run this as an ordinary user or add one (useradd --system postgres)",
    )?;
    Ok(Some(account))
}

/// `postgres`, else `nobody`, else the first account that is not root. An account it must be: `initdb` looks up
/// the name of its user and gives up on a bare number.
fn choose_account(passwd: &str) -> Option<Account> {
    let accounts: Vec<(&str, Account)> = passwd.lines().filter_map(read_account).collect();
    let named = |wanted: &str| accounts.iter().find(|(name, _)| *name == wanted);
    named("postgres").or_else(|| named("nobody")).or_else(|| accounts.first()).map(|(_, account)| *account)
}

/// Reads `name:password:uid:gid:…`, unless it is root.
fn read_account(line: &str) -> Option<(&str, Account)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    (uid != 0).then_some((name, Account { uid, gid }))
}

/// Whether the account can walk to this folder. Groups are left out: saying no too often only costs a copy.
pub(super) fn reaches(account: Option<Account>, folder: &Path) -> bool {
    let Some(account) = account else { return folder.is_dir() };
    folder.ancestors().all(|step| {
        fs::metadata(step).is_ok_and(|found| {
            let mode = found.permissions().mode();
            found.is_dir() && (mode & 0o001 != 0 || (found.uid() == account.uid && mode & 0o100 != 0))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(passwd: &str, expected: Option<u32>) {
        assert_eq!(choose_account(passwd).map(|account| account.uid), expected, "{passwd}");
    }

    #[test]
    fn the_server_runs_as_postgres_then_nobody_then_anyone_but_root() {
        let root = "root:x:0:0:root:/root:/bin/bash";
        let daemon = "daemon:x:1:1::/:/bin/false";
        let nobody = "nobody:x:65534:65534::/:/bin/false";
        let postgres = "postgres:x:101:104::/:/bin/bash";

        check(&[root, daemon, nobody, postgres].join("\n"), Some(101));
        check(&[root, daemon, nobody].join("\n"), Some(65534));
        check(&[root, daemon].join("\n"), Some(1));
        check(root, None);
        check("toor:x:0:0::/:/bin/sh\nnonsense\n:::\n", None);
    }
}
