//! The whole gateway over real sockets, one room a subject. One program, for what takes time is to link it.

mod admin;
mod conformance;
mod contract;
mod door;
mod drill;
mod faults_backend;
mod faults_clients;
mod flow;
mod handover;
mod handshake;
mod hostile;
mod jwks;
mod laws;
mod life;
mod link;
mod messages;
mod metrics;
mod outage;
mod rates;
mod recording;
mod reload;
mod rfc6455;
mod spans;
mod takeover;
mod tls;
mod tokens;
