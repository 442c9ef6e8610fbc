//! Public keys and certificates in PEM (RFC 7468).

use jsonwebtoken::DecodingKey;

use super::KeyFault;

const BEGIN: &str = "-----BEGIN ";

/// The one public key in a PEM file, as [`kind`](super::public::kind) takes it. Of a certificate it is the
/// subject's; its issuer, dates and extensions are not looked at: the operator vouches for the key by naming it.
pub(super) fn read(file: &[u8]) -> Result<Vec<u8>, KeyFault> {
    let text = str::from_utf8(file).map_err(|_| KeyFault::NoPem)?;
    let mut blocks = text.split(BEGIN).skip(1);
    let block = blocks.next().ok_or(KeyFault::NoPem)?;
    let label = block.lines().next().unwrap_or_default();
    // An EC key of openssl's own has its parameters in a block before it.
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyFault::PrivateKey);
    }
    if blocks.next().is_some() {
        return Err(KeyFault::SeveralPemBlocks);
    }
    if !matches!(label.trim_end(), "PUBLIC KEY-----" | "RSA PUBLIC KEY-----" | "CERTIFICATE-----") {
        return Err(KeyFault::NotAKey);
    }
    // Each of these takes keys of its own kind only, by their object identifier.
    [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem]
        .into_iter()
        .find_map(|read| read(file).ok())
        .and_then(|key| key.try_get_as_bytes().map(<[u8]>::to_vec).ok())
        .ok_or(KeyFault::NotAKey)
}
