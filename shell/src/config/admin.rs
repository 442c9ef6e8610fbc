//! The keys of `[admin]`: where operators ask and act, and who may.

use std::{
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use super::{
    Section,
    gateway::ADDRESS,
    kinds::{Parsed, one_or_list, quote},
    tls,
};
use crate::{files, tls::ServerTls};

/// The bytes that a token may have.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;

/// Where operators ask and act, and who may.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where that is listened for.
    pub address: SocketAddr,
    /// The names by which it may be called, besides `localhost`, loopback addresses and its own; in lower case.
    pub hosts: Vec<String>,
    /// What everybody has to bring; `None`: nothing.
    pub token: Option<AdminToken>,
    /// What operators are met with; `None`: they come without TLS.
    pub tls: Option<ServerTls>,
    /// What whoever looks at the demo may try it with, once that is known. No key sets it: only the demo does.
    pub trial: Option<Arc<OnceLock<Trial>>>,
}

/// Where the demo is tried, and as whom. `Debug` does not show the tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Trial {
    /// Where clients connect: `ws`, host and port.
    pub origin: String,
    /// The path there.
    pub path: String,
    /// Users, each with its token.
    pub clients: Vec<(String, String)>,
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trial at {}", self.origin)
    }
}

/// A secret that operators bring. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(Box<[u8]>);

impl AdminToken {
    /// Whether somebody brings it, found out in a time that does not tell how much of it was right.
    pub fn is(&self, brought: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, brought).is_ok()
    }

    /// Reads it, or says what is wrong and what to do.
    fn read(file: &Path) -> Result<Self, String> {
        let bytes = files::read(file, *TOKEN_BYTES.end() as u64 + 2).map_err(|fault| fault.to_string())?;
        let token =
            bytes.strip_suffix(b"\n").map_or(&bytes[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
        let remedy = "write what openssl rand -hex 32 gives";
        match token.len() {
            len if !TOKEN_BYTES.contains(&len) => {
                let (min, max) = TOKEN_BYTES.into_inner();
                Err(format!("holds {len} bytes; it may be {min} to {max}: {remedy}"))
            }
            _ if !token.iter().all(u8::is_ascii_graphic) => {
                Err(format!("holds what cannot stand in a header; {remedy}"))
            }
            _ => Ok(AdminToken(token.into())),
        }
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

const HOST: Parsed<String> = Parsed {
    range: "a host name without a port, such as `\"ops.example.com\"`",
    parse: |text| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
        match (1..=253).contains(&text.len()) && text.bytes().all(good) {
            true => Ok(text.to_ascii_lowercase()),
            false => Err(format!("{} is no host name; write one such as \"ops.example.com\"", quote(text))),
        }
    },
    show: String::clone,
};

/// The keys that are of no use without an address.
const OTHERS: [&str; 2] = ["hosts", "token_file"];

/// Reads `[admin]`; `None`: there is no such listener, or something is wrong.
pub(super) fn read(s: &Section<'_>, others: &[SocketAddr]) -> Option<AdminConfig> {
    let address = s.optional("address", ADDRESS);
    let hosts = s.optional("hosts", one_or_list(HOST)).unwrap_or_default();
    let token = token(s);
    let tls = s.table("tls", tls::listener);
    for key in OTHERS {
        let alone = address.is_none() && s.place(key).is_some() && !s.is_unsound("address");
        s.contradiction(alone, &[key], || {
            "is of no use without admin.address; write that too, or take this out".to_owned()
        });
    }
    let address = address?;
    let doubled = address.port() != 0 && others.contains(&address);
    s.contradiction(doubled, &["address"], || {
        "is listened at for clients or health too; take another port".to_owned()
    });
    let is_local = address.ip().to_canonical().is_loopback();
    let certified = tls.as_ref().is_some_and(ServerTls::asks_for_certificates);
    let exposed = !is_local && token.is_none() && !certified && !s.is_unsound("token_file");
    s.contradiction(exposed, &["address"], || {
        "is open to other machines, and anybody there could close users; write admin.token_file, or admin.tls with \
         client_ca_file, or listen on 127.0.0.1"
            .to_owned()
    });
    if let (false, true, None, Some(place)) = (is_local, token.is_some(), &tls, s.place("address")) {
        s.reader
            .warn(&place, "the admin token goes over the network as it is; write admin.tls to encrypt it");
    }
    Some(AdminConfig { address, hosts, token, tls, trial: None })
}

fn token(s: &Section<'_>) -> Option<AdminToken> {
    let file = tls::file(s, "token_file")?;
    let place = s.place("token_file")?;
    match AdminToken::read(&file) {
        Ok(token) => {
            s.hide("token_file", &token.0);
            Some(token)
        }
        Err(problem) => {
            s.unsound(&place, "token_file", format!("{:?} {problem}", file.to_string_lossy()));
            None
        }
    }
}
