//! Whom a connection trusts: certificates and host names are verified wherever the server is not on this machine.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::ConfigVerifierExt;
use tokio_postgres::config::Host;

use super::StoreError;

/// The root certificates of Amazon RDS and RDS Proxy; the file says where it is from.
const RDS_ROOTS: &[u8] = include_bytes!("../../certificates/rds.pem");

/// How the names of RDS, Aurora and RDS Proxy end.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html>, read 2026-11-22.
const RDS_NAMES: [&str; 2] = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"];

/// Root certificates from a file in PEM; the message says what is wrong with it.
pub(super) fn read_roots(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "holds what is no certificate in PEM".to_owned())?;
        roots.add(certificate).map_err(|_| "holds a certificate that cannot be used".to_owned())?;
    }
    if roots.is_empty() { Err("holds no certificate in PEM".to_owned()) } else { Ok(Arc::new(roots)) }
}

/// Whom a connection to these hosts trusts: the roots that were given and no other; for RDS those of Amazon and no other; else
/// those of this machine.
pub(super) fn trust(given: Option<&Arc<RootCertStore>>, hosts: &[Host]) -> Result<ClientConfig, StoreError> {
    let roots = match given {
        Some(roots) => Arc::clone(roots),
        None if hosts.iter().all(is_rds) => rds_roots(),
        None => {
            return ClientConfig::with_platform_verifier()
                .map_err(|error| StoreError::Unavailable(Box::new(error)));
        }
    };
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Whether every host is this machine: a socket, or a loopback address.
pub(super) fn are_local(hosts: &[Host]) -> bool {
    hosts.iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

fn is_rds(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            RDS_NAMES.iter().any(|ending| name.ends_with(ending))
        }
        #[cfg(unix)]
        Host::Unix(_) => false,
    }
}

fn rds_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read =
        || read_roots(RDS_ROOTS).expect("the file in the repository holds certificates, as a test shows");
    Arc::clone(ROOTS.get_or_init(read))
}
