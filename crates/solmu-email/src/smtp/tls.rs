//! Our certificate, and the TLS configuration made of it.
//!
//! Certificates live for weeks, processes for months: the files are looked at again when a connection wants TLS, at
//! most once a minute, and read when they changed. What cannot be read or does not fit together (a new certificate
//! whose key has not been written yet) leaves the old one in use and is tried again. A watcher was rejected: it needs a
//! task of its own, and links that a mounted secret swaps behind it escape it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use jiff::{SignedDuration, Timestamp};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use solmu_domain::clock::SharedClock;

use super::config::{SmtpTlsConfig, TlsUse};
use crate::metrics::EmailMetrics;

/// How often the files are looked at.
const RECHECK: SignedDuration = SignedDuration::from_secs(60);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file is no PEM, or has not what it should have.
    #[error("'{}' has no usable {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why it was not found.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    #[error("the certificate in '{}' cannot be used with its key", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What the library says.
        #[source]
        source: rustls::Error,
    },
}

/// What tells a changed file from one that was read.
type Stamp = (Option<SystemTime>, u64);

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the files were made into, and how they looked then.
#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    stamps: [Stamp; 2],
}

/// Our certificate, as it is on disk.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    clock: SharedClock,
    metrics: EmailMetrics,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    loaded: Loaded,
    checked: Timestamp,
}

impl Certificates {
    /// Reads the configured files; `None` if there are none or TLS is not wanted.
    pub fn load(
        config: &SmtpTlsConfig,
        clock: SharedClock,
        metrics: EmailMetrics,
    ) -> Result<Option<Self>, TlsError> {
        let Some(files) = Files::of(config) else {
            return Ok(None);
        };
        let state = State {
            loaded: files.load(files.stamps()?)?,
            checked: clock.now(),
        };
        Ok(Some(Self {
            files,
            clock,
            metrics,
            state: Mutex::new(state),
        }))
    }

    /// Whether the configured files can be used, if there are any.
    pub fn check(config: &SmtpTlsConfig) -> Result<(), TlsError> {
        Files::of(config).map_or(Ok(()), |files| files.read().map(drop))
    }

    /// What a connection that starts now is encrypted with.
    pub async fn current(&self) -> Arc<ServerConfig> {
        let (config, stamps) = {
            let now = self.clock.now();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let since = now.duration_since(state.checked);
            if since.abs() < RECHECK {
                return Arc::clone(&state.loaded.config);
            }
            // Whoever comes while this one looks takes the old one.
            state.checked = now;
            (Arc::clone(&state.loaded.config), state.loaded.stamps)
        };
        let files = self.files.clone();
        let looking = tokio::task::spawn_blocking(move || files.read_if_changed(stamps));
        match looking.await {
            Ok(Ok(Some(loaded))) => {
                tracing::info!("the certificate of smtp changed and was read again");
                self.metrics.certificate_reloads.inc(["ok"]);
                let config = Arc::clone(&loaded.config);
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.loaded = loaded;
                config
            }
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the certificate of smtp cannot be read again, the old one stays in use"
                );
                self.metrics.certificate_reloads.inc(["failed"]);
                config
            }
            // Not changed, or the process is ending.
            Ok(Ok(None)) | Err(_) => config,
        }
    }
}

impl Files {
    fn of(config: &SmtpTlsConfig) -> Option<Self> {
        let (certificate, key) = (config.certificate.clone()?, config.key.clone()?);
        (config.required != TlsUse::Never).then_some(Self { certificate, key })
    }

    /// The stamps are taken before the files are read: a change in between is then seen the next time.
    fn read_if_changed(&self, known: [Stamp; 2]) -> Result<Option<Loaded>, TlsError> {
        let stamps = self.stamps()?;
        if stamps == known {
            return Ok(None);
        }
        self.load(stamps).map(Some)
    }

    fn load(&self, stamps: [Stamp; 2]) -> Result<Loaded, TlsError> {
        let config = self.read()?;
        Ok(Loaded { config, stamps })
    }

    fn stamps(&self) -> Result<[Stamp; 2], TlsError> {
        let stamp = |path: &Path| {
            let metadata = std::fs::metadata(path).map_err(|source| TlsError::Read {
                path: path.to_owned(),
                source,
            })?;
            Ok((metadata.modified().ok(), metadata.len()))
        };
        Ok([stamp(&self.certificate)?, stamp(&self.key)?])
    }

    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(&contents(&self.certificate)?).collect();
        let chain = chain
            .and_then(|chain| {
                if chain.is_empty() {
                    return Err(pem::Error::NoItemsFound);
                }
                Ok(chain)
            })
            .map_err(|source| TlsError::Pem {
                path: self.certificate.clone(),
                what: "certificate",
                source,
            })?;
        let key = PrivateKeyDer::from_pem_slice(&contents(&self.key)?).map_err(|source| {
            TlsError::Pem {
                path: self.key.clone(),
                what: "private key",
                source,
            }
        })?;
        let unusable = |source| TlsError::Unusable {
            path: self.certificate.clone(),
            source,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        Ok(Arc::new(config))
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}
