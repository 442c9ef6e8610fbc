//! `trunkline health`: asks a gateway how it is, for containers that have neither a shell nor another program.

use std::path::PathBuf;

use crate::{
    config::ServerUrl,
    http::Server,
    tls::{ClientFiles, ClientTls},
    token::FetchSettings,
};

/// What is there at `url`, if it answers 200. The CA is that in the file, or one of the system's.
///
/// # Errors
///
/// Why it is not well, or cannot be asked.
pub async fn ask(url: &str, ca: Option<PathBuf>) -> Result<String, String> {
    let server = ServerUrl::http(url).map_err(|what| format!("URL: {what}"))?;
    let files = ClientFiles { ca, identity: None };
    let tls = server.secure.then(|| ClientTls::load(files)).transpose().map_err(|fault| fault.to_string())?;
    let FetchSettings { timeout, bytes_max, .. } = FetchSettings::default();
    let gateway = Server { url: &server, tls: tls.as_ref(), timeout, bytes_max };
    let answer = gateway.get("application/json", None).await.map_err(|fault| format!("{server}: {fault}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
