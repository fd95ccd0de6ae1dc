//! Connecting, and protecting the connection.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    error::ImapError,
    settings::{Settings, Tls},
};

/// Both ways of a connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection, protected or not.
pub(crate) type Stream = Box<dyn Duplex>;

/// A connection; protected already if it is so from the first byte.
pub(crate) async fn connect(settings: &Settings) -> Result<Stream, ImapError> {
    let connecting = async {
        let tcp = TcpStream::connect((settings.host.as_str(), settings.port))
            .await
            .map_err(ImapError::Connect)?;
        let _ = tcp.set_nodelay(true);
        let peer = tcp.peer_addr().map_err(ImapError::Connect)?;
        match settings.tls {
            Tls::Implicit => protect(Box::new(tcp), settings).await,
            Tls::StartTls => Ok(Box::new(tcp) as Stream),
            Tls::None if peer.ip().to_canonical().is_loopback() => Ok(Box::new(tcp) as Stream),
            Tls::None => Err(ImapError::Unprotected),
        }
    };
    timeout(settings.times.connect, connecting)
        .await
        .unwrap_or_else(|_| Err(ImapError::Connect(io::ErrorKind::TimedOut.into())))
}

/// Protects a connection.
pub(crate) async fn protect(stream: Stream, settings: &Settings) -> Result<Stream, ImapError> {
    let config = client_config(settings.ca_file.as_deref())?;
    let name = ServerName::try_from(settings.host.clone())
        .map_err(|error| ImapError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    match timeout(settings.times.connect, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(ImapError::Tls(error)),
        Err(_) => Err(ImapError::Tls(io::ErrorKind::TimedOut.into())),
    }
}

fn client_config(authorities: Option<&Path>) -> Result<ClientConfig, ImapError> {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let unusable = |error: rustls::Error| ImapError::Tls(io::Error::other(error));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let Some(path) = authorities else {
        let builder = builder.with_platform_verifier().map_err(unusable)?;
        return Ok(builder.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    let files = CertificateDer::pem_file_iter(path)
        .map_err(|error| ImapError::Authorities(Box::new(error)))?;
    for certificate in files {
        let certificate = certificate.map_err(|error| ImapError::Authorities(Box::new(error)))?;
        roots
            .add(certificate)
            .map_err(|error| ImapError::Authorities(Box::new(error)))?;
    }
    if roots.is_empty() {
        return Err(ImapError::Authorities("it has no certificate".into()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
