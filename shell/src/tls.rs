//! TLS (RFC 8446, RFC 5246): certificates and keys become what connections are secured with, and become it again when
//! their files change.
//!
//! Versions 1.2 and 1.3 only, with the library's suites: all of them have forward secrecy and authenticated encryption.
//! What is carried is HTTP/1.1 and what it is upgraded to, so ALPN (RFC 7301) names nothing else.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::time::sleep;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    files::{self, Stamp},
    net::TcpStream,
    transport::{Carrier, Transport},
};

/// The most bytes of a file that holds certificates or a key.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What a connection may hold of what is to be sent; the rest waits where it is bounded and counted.
const BUFFER_BYTES_MAX: usize = 16 << 10;
/// How often files in use are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is carried.
const ALPN: &[u8] = b"http/1.1";
/// The record of an alert (RFC 8446, sections 5.1 and 6): fatal, `internal_error`, which is a matter of the server alone.
pub(crate) const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 80];

/// Who one side of a connection is: a certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityFiles {
    /// PEM: the certificate, then those that lead to its CA.
    pub certificate: PathBuf,
    /// PEM: its key (PKCS #8, PKCS #1 or SEC1), without a password.
    pub key: PathBuf,
}

/// What clients are met with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerFiles {
    /// Who the gateway is.
    pub identity: IdentityFiles,
    /// PEM: the CAs of which every client must bring a certificate; `None`: clients need none.
    pub client_ca: Option<PathBuf>,
}

/// What a backend is met with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ClientFiles {
    /// PEM: the CAs that a backend's certificate may come from; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Who the gateway is to the backend; `None`: it does not say.
    pub identity: Option<IdentityFiles>,
}

/// Clients are met with this.
pub type ServerTls = Kept<ServerFiles>;
/// Backends are met with this.
pub type ClientTls = Kept<ClientFiles>;

/// What is wrong with a file, or with what the system has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFault {
    /// The file; `None`: the system's own CAs.
    pub file: Option<PathBuf>,
    /// What is wrong and what to do, to follow the file's name.
    pub what: String,
}

impl TlsFault {
    fn new(file: &Path, what: impl Into<String>) -> Self {
        TlsFault { file: Some(file.to_owned()), what: what.into() }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{:?} {}", file.to_string_lossy(), self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Files that something is made of.
pub trait Files {
    /// What is made of them.
    type Made;

    /// The files.
    fn paths(&self) -> Vec<&Path>;

    /// Reads them.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    fn make(&self) -> Result<Self::Made, TlsFault>;
}

/// What was made of files, and is made anew when they change. All clones are one.
pub struct Kept<F: Files> {
    files: F,
    state: Arc<Mutex<State<F::Made>>>,
}

struct State<T> {
    made: Arc<T>,
    /// The files as they were when they were last read, for better or worse.
    seen: Vec<Option<Stamp>>,
}

impl<F: Files> Kept<F> {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn load(files: F) -> Result<Self, TlsFault> {
        let seen = stamps(&files);
        let made = Arc::new(files.make()?);
        Ok(Kept { files, state: Arc::new(Mutex::new(State { made, seen })) })
    }

    /// What was last made of them.
    pub fn current(&self) -> Arc<F::Made> {
        Arc::clone(&self.state().made)
    }

    /// Looks whether they have changed, and reads them again if so. Whether something new was made.
    ///
    /// # Errors
    ///
    /// What is wrong with files that have changed, once; what was made before stays.
    pub fn refresh(&self) -> Result<bool, TlsFault> {
        let mut state = self.state();
        // Looked at before they are read: what is written meanwhile is read the next time.
        let seen = stamps(&self.files);
        if seen == state.seen {
            return Ok(false);
        }
        state.seen = seen;
        state.made = Arc::new(self.files.make()?);
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State<F::Made>> {
        // Nothing is ever left half done in there.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerTls {
    /// Whether nobody is let in without a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.files.client_ca.is_some()
    }
}

impl<F: Files + Clone> Clone for Kept<F> {
    fn clone(&self) -> Self {
        Kept { files: self.files.clone(), state: Arc::clone(&self.state) }
    }
}

impl<F: Files + fmt::Debug> fmt::Debug for Kept<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

impl<F: Files + fmt::Debug> Kept<F> {
    /// What the files say now, or said last when they made sense. The log says when that changes, and when it does not.
    fn fresh(&self) -> Arc<F::Made> {
        match self.refresh() {
            Ok(false) => {}
            Ok(true) => tracing::info!(target: "gateway", files = ?self, "new certificates are in use"),
            Err(fault) => {
                let fault = fault.to_string();
                tracing::error!(target: "gateway", fault, "new certificates are of no use: the old ones stay");
            }
        }
        self.current()
    }
}

/// Sees to it that clients are met with what the files say now, for as long as it is polled.
pub(crate) async fn keep_fresh(in_use: impl Fn() -> Vec<ServerTls>) {
    loop {
        sleep(LOOK_EVERY).await;
        in_use().iter().for_each(|tls| drop(tls.fresh()));
    }
}

fn stamps(files: &impl Files) -> Vec<Option<Stamp>> {
    files.paths().into_iter().map(Stamp::of).collect()
}

impl Files for ServerFiles {
    type Made = ServerConfig;

    fn paths(&self) -> Vec<&Path> {
        let IdentityFiles { certificate, key } = &self.identity;
        [certificate, key].into_iter().chain(&self.client_ca).map(PathBuf::as_path).collect()
    }

    fn make(&self) -> Result<ServerConfig, TlsFault> {
        let verifier = match &self.client_ca {
            Some(file) => client_verifier(file)?,
            None => Arc::new(NoClientAuth),
        };
        let (chain, key) = self.identity.read()?;
        let refused = |error| self.identity.refused(error);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Clients that come back need no signature. The keys are new each time, so a ticket is worth nothing to who
        // was let in by a CA that no longer counts.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(refused)?;
        Ok(config)
    }
}

impl Files for ClientFiles {
    type Made = ClientConfig;

    fn paths(&self) -> Vec<&Path> {
        let identity = self.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
        self.ca.iter().chain(identity).map(PathBuf::as_path).collect()
    }

    fn make(&self) -> Result<ClientConfig, TlsFault> {
        let roots = self.ca.as_deref().map_or_else(system_roots, read_roots)?;
        let refused = |error: rustls::Error| TlsFault { file: None, what: error.to_string() };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| identity.refused(error))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

impl IdentityFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsFault> {
        let chain = read_certificates(&self.certificate)?;
        let text = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            TlsFault::new(&self.key, "holds no private key in PEM; take one without a password")
        })?;
        Ok((chain, key))
    }

    /// The library takes the two together, and knows which is at fault.
    fn refused(&self, error: rustls::Error) -> TlsFault {
        match error {
            rustls::Error::InconsistentKeys(_) => TlsFault::new(
                &self.key,
                "is not the key of the certificate; write the two that belong together",
            ),
            rustls::Error::InvalidCertificate(_) => {
                TlsFault::new(&self.certificate, "holds no certificate of X.509 version 3; take one that is")
            }
            // It says nothing of what is in the key.
            error => TlsFault::new(
                &self.key,
                format!("cannot be used: {error}; take an RSA, ECDSA or Ed25519 key"),
            ),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn client_verifier(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
    let roots = Arc::new(read_roots(file)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| TlsFault::new(file, format!("cannot be used: {error}")))
}

fn read_roots(file: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots
            .add(certificate)
            .map_err(|_| TlsFault::new(file, "holds what is no certificate of a CA; take it out"))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let what = "the system has no CA certificates; install them (ca-certificates), or write ca_file";
        return Err(TlsFault { file: None, what: what.to_owned() });
    }
    Ok(roots)
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let text = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsFault::new(
            file,
            "holds no certificate in PEM; its lines are between BEGIN and END CERTIFICATE",
        )),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsFault> {
    files::read(file, FILE_BYTES_MAX).map_err(|fault| TlsFault::new(file, fault.to_string()))
}

// --- Handshakes ---

/// Shakes hands with a client.
///
/// # Errors
///
/// The client speaks no TLS, or none that is accepted, or has vanished.
pub(crate) async fn accept(config: Arc<ServerConfig>, stream: TcpStream) -> io::Result<Transport> {
    let mut stream = TlsAcceptor::from(config).accept(Carrier::Here(stream)).await?;
    stream.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES_MAX));
    Ok(Transport::secure(stream))
}

/// Shakes hands with a server, if it speaks TLS: then it must prove that it is `host`, a name or an IP address. What it
/// is met with is what the files say now.
///
/// # Errors
///
/// The server proves something else, or nothing.
pub(crate) async fn connect(tls: Option<&ClientTls>, host: &str, stream: TcpStream) -> io::Result<Transport> {
    let Some(tls) = tls else { return Ok(Transport::plain(stream)) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(tls.fresh()).connect(name, Carrier::Here(stream)).await?;
    stream.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES_MAX));
    Ok(Transport::secure(stream))
}

/// Whether a connection begins as TLS does: with a record that holds a handshake (RFC 8446, section 5.1).
pub(crate) fn may_be_tls(beginning: &[u8]) -> bool {
    beginning.first() == Some(&0x16)
}
