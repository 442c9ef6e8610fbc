//! The keys of `[listen.tls]` and `[link.tls]`: the files of certificates and keys.

use std::path::PathBuf;

use super::{Section, kinds::Text};
use crate::tls::{IdentityFiles, ServerFiles, ServerTls};

/// Reads `[listen.tls]`; `None`: clients come without TLS, or something is wrong.
pub(super) fn listener(s: &Section<'_>) -> Option<ServerTls> {
    let identity = identity(s);
    let client_ca = file(s, "client_ca_file");
    let alone =
        identity.is_none() && client_ca.is_some() && !IDENTITY.iter().any(|key| s.place(key).is_some());
    s.contradiction(alone, &["client_ca_file"], || {
        "asks clients for certificates without TLS; write certificate_file and key_file too".to_owned()
    });
    let keys = ["certificate_file", "key_file", "client_ca_file"];
    if keys.iter().any(|key| s.is_unsound(key)) {
        return None;
    }
    ServerTls::load(ServerFiles { identity: identity?, client_ca })
        .map_err(|fault| s.reader.problem(&s.here(), fault.to_string()))
        .ok()
}

/// The keys that belong together.
const IDENTITY: [&str; 2] = ["certificate_file", "key_file"];

/// Reads a certificate and its key; `None`: there is none, or only one of the two, which is put down.
pub(super) fn identity(s: &Section<'_>) -> Option<IdentityFiles> {
    let (certificate, key) = (file(s, IDENTITY[0]), file(s, IDENTITY[1]));
    let half = certificate.is_some() != key.is_some();
    s.contradiction(half, &IDENTITY, || {
        format!("{} and {} belong together; write both or neither", IDENTITY[0], IDENTITY[1])
    });
    certificate.zip(key).map(|(certificate, key)| IdentityFiles { certificate, key })
}

/// Takes the name of a file.
pub(super) fn file(s: &Section<'_>, key: &str) -> Option<PathBuf> {
    s.optional(key, Text { bytes_max: 4096 }).map(|name| s.reader.dir.join(name))
}
