//! `trunkline check FILE --against URL`: what a reload would change, found out beside the gateway.
//!
//! The gateway says what is in force; of what is not shown, a salted print. The same is made here of the file, and the two
//! are compared: nothing of the file leaves the machine.

use std::path::PathBuf;

use serde::Deserialize;

use super::diff::{Change, diff};
use crate::{
    config::{Config, Listing, ServerUrl},
    http::{Fault, Server},
    tls::{ClientFiles, ClientTls},
    token::FetchSettings,
};

/// What is in force may be so long: a thousand endpoints have some five million bytes.
const BYTES_MAX: usize = 32 << 20;

#[derive(Deserialize)]
struct InForce {
    salt: String,
    values: Listing,
}

/// What a gateway whose admin listener is at `url` would change, if it read this configuration again. `token` is that of
/// the listener, where it asks for one.
///
/// # Errors
///
/// Why the gateway cannot be asked.
pub async fn against(
    config: &Config,
    url: &str,
    token: Option<&str>,
    ca: Option<PathBuf>,
) -> Result<Vec<Change>, String> {
    let listener = url.trim_end_matches('/');
    let server = ServerUrl::http(&format!("{listener}/api/v1/configuration"));
    let server = server.map_err(|what| format!("--against: {what}"))?;
    let files = ClientFiles { ca, identity: None };
    let tls = server.secure.then(|| ClientTls::load(files)).transpose().map_err(|fault| fault.to_string())?;
    let timeout = FetchSettings::default().timeout;
    let gateway = Server { url: &server, tls: tls.as_ref(), timeout, bytes_max: BYTES_MAX };
    let answer = gateway
        .get("application/json", token)
        .await
        .map_err(|fault| format!("{server}: {fault}{}", hint(&fault)))?;
    let no_gateway = |_| format!("{server}: this is no answer of a gateway");
    let InForce { salt, values } = serde_json::from_slice(&answer).map_err(no_gateway)?;
    let salt = unhex(&salt).ok_or_else(|| format!("{server}: this is no answer of a gateway"))?;
    Ok(diff(&values, &config.values.printed(&salt)))
}

fn hint(fault: &Fault) -> &'static str {
    match fault {
        Fault::Status(status) if status.as_u16() == 401 => {
            "; set TRUNKLINE_ADMIN_TOKEN to what is in the admin.token_file of the gateway that runs"
        }
        Fault::Status(status) if status.as_u16() == 404 => "; write the URL of its admin listener",
        _ => "",
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}
