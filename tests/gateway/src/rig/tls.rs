//! TLS on the other side: an authority that signs certificates, and tunnels through which those that speak no TLS reach
//! those that do.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

/// Signs certificates, and keeps files in a folder of its own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one, its files in the folder `name` among those of tests.
    ///
    /// # Panics
    ///
    /// The folder cannot be written to.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("the system has randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("the parameters make sense");
        let folder = std::env::temp_dir().join(format!("trunkline-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("folders for temporary files can be written to");
        Authority { issuer, folder }
    }

    /// A certificate for a name or an IP address.
    ///
    /// # Panics
    ///
    /// It is neither.
    pub fn issue(&self, name: &str) -> Identity {
        let params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        let key = KeyPair::generate().expect("the system has randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters make sense");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Its own certificate, in a file.
    pub fn file(&self) -> String {
        self.write("ca.pem", &self.issuer.pem())
    }

    /// Writes a file, whole, in place of what was there. Returns its path.
    ///
    /// # Panics
    ///
    /// The folder cannot be written to.
    pub fn write(&self, name: &str, text: &str) -> String {
        let (path, prepared) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        fs::write(&prepared, text).expect("the folder can be written to");
        fs::rename(&prepared, &path).expect("the folder can be written to");
        path.to_str().expect("it is text").to_owned()
    }

    /// What trusts this authority, and says who it is if it is somebody.
    ///
    /// # Panics
    ///
    /// The identity makes no sense.
    pub fn client(&self, identity: Option<&Identity>, alpn: &[&str]) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(self.roots());
        let mut config = match identity {
            Some(identity) => {
                let (chain, key) = identity.parsed();
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A server that demands a certificate of this authority.
    ///
    /// # Panics
    ///
    /// The identity makes no sense.
    pub fn server(&self, identity: &Identity, demands: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has them");
        let builder = if demands {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider);
            builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = identity.parsed();
        Arc::new(builder.with_single_cert(chain, key).expect("they belong together"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("it is a certificate");
        roots
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What is left is in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.folder.display())
    }
}

impl Identity {
    fn parsed(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("it is PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("it is PEM");
        (vec![certificate], key)
    }
}

/// Shakes hands with what listens at `address` and says that it is `localhost`.
///
/// # Errors
///
/// One of the two does not like the other.
///
/// # Panics
///
/// Nobody listens.
pub async fn shake_hands(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    let name = ServerName::try_from("localhost").expect("it is a name");
    TlsConnector::from(config).connect(name, stream).await
}

/// Where those that speak no TLS reach what speaks TLS at `address`. It lasts as long as the test.
///
/// # Panics
///
/// There is no free port.
pub async fn tunnel_to(address: SocketAddr, config: Arc<ClientConfig>) -> SocketAddr {
    let (listener, local) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                let mut secure = shake_hands(address, config).await?;
                copy_bidirectional(&mut plain, &mut secure).await
            });
        }
    });
    local
}

/// Where those that speak TLS reach what speaks none at `address`. It lasts as long as the test.
///
/// # Panics
///
/// There is no free port.
pub async fn tunnel_from_tls(address: SocketAddr, config: Arc<ServerConfig>) -> SocketAddr {
    let (listener, local) = listen().await;
    tokio::spawn(async move {
        while let Ok((secure, _)) = listener.accept().await {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                let mut secure = TlsAcceptor::from(config).accept(secure).await?;
                let mut plain = TcpStream::connect(address).await?;
                copy_bidirectional(&mut secure, &mut plain).await
            });
        }
    });
    local
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let local = listener.local_addr().expect("it listens");
    (listener, local)
}
