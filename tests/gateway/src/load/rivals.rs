//! Programs of others that do the same or nearly so: how each is found, configured and started on loopback.
//!
//! nginx, HAProxy and Pushpin hold a connection to the backend for each client, so theirs is the plain echo server; it
//! costs nothing here, as only they are measured. The gateway in Node speaks the language of docs/language.md over one
//! link, as ours does. Each runs one worker, for our gateway too has one thread for its sessions.

use std::{
    env,
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    subject::{Kind, NODE_PLACE},
    tokens::SECRET,
};

/// A command, and its arguments.
pub(super) type Launch = (PathBuf, Vec<OsString>);

/// Connections that a proxy may hold, those to the backend included.
const CONNECTIONS_MAX: u32 = 20_000;

/// Why a rival is left out, with what to do about it; `None`: it is there.
pub(super) fn absence(kind: Kind) -> Option<String> {
    let (program, install) = match kind {
        Kind::Gateway | Kind::Plain | Kind::Floor => return None,
        Kind::Node => ("node", "apt-get install nodejs npm"),
        Kind::Nginx => ("nginx", "apt-get install nginx"),
        Kind::Haproxy => ("haproxy", "apt-get install haproxy"),
        Kind::Pushpin => ("pushpin", "apt-get install pushpin"),
    };
    if find(program).is_none() {
        return Some(format!("{program} is not installed; on Debian: {install}"));
    }
    if kind == Kind::Node && !Path::new(NODE_PLACE).join("node_modules").is_dir() {
        return Some(format!("its modules are not installed: npm ci --prefix {NODE_PLACE}"));
    }
    None
}

/// What starts a rival that listens at `address`, its files in `place`.
pub(super) fn launch(
    kind: Kind,
    address: SocketAddr,
    backend: SocketAddr,
    place: &Path,
) -> io::Result<Launch> {
    match kind {
        Kind::Node => {
            let script = Path::new(NODE_PLACE).join("gateway.js");
            let arguments = [script.into(), address.port().to_string().into(), backend.to_string().into()];
            Ok((program("node")?, [&arguments[..], &[SECRET.into()]].concat()))
        }
        Kind::Nginx => {
            let config = place.join("nginx.conf");
            fs::write(&config, nginx(address, backend, place))?;
            let arguments = ["-p".into(), place.into(), "-c".into(), config.into(), "-e".into()];
            Ok((program("nginx")?, [&arguments[..], &[place.join("error.log").into()]].concat()))
        }
        Kind::Haproxy => {
            let config = place.join("haproxy.cfg");
            fs::write(&config, haproxy(address, backend))?;
            Ok((program("haproxy")?, vec!["-q".into(), "-f".into(), config.into()]))
        }
        Kind::Pushpin => {
            let (pushpin, zurl) = (place.join("pushpin.conf"), place.join("zurl.conf"));
            fs::write(place.join("routes"), format!("* {backend}\n"))?;
            fs::write(&pushpin, pushpin_config(address, place))?;
            fs::write(&zurl, zurl_config(place))?;
            // Debian runs zurl, which connects to backends, as a daemon of its own; here it is a child, and counts.
            let script = r#""$1" --config="$2" & exec "$3" --config="$4""#;
            let arguments = ["-c".into(), script.into(), "sh".into(), program("zurl")?.into(), zurl.into()];
            let pushpin = [program("pushpin")?.into(), pushpin.into()];
            Ok((program("sh")?, [&arguments[..], &pushpin].concat()))
        }
        Kind::Gateway | Kind::Plain | Kind::Floor => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn nginx(address: SocketAddr, backend: SocketAddr, place: &Path) -> String {
    let place = place.display();
    format!(
        "daemon off; worker_processes 1; worker_rlimit_nofile {CONNECTIONS_MAX}; pid {place}/nginx.pid; user root;\n\
         events {{ worker_connections {CONNECTIONS_MAX}; multi_accept on; }}\n\
         http {{\n  access_log off; proxy_temp_path {place}/proxy; client_body_temp_path {place}/body;\n  \
         fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n  \
         server {{ listen {address} backlog=4096;\n    location / {{\n      proxy_pass http://{backend};\n      \
         proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;\n      \
         proxy_read_timeout 1h; proxy_send_timeout 1h; proxy_buffering off;\n    }}\n  }}\n}}\n"
    )
}

fn haproxy(address: SocketAddr, backend: SocketAddr) -> String {
    let connections = CONNECTIONS_MAX / 2 - 100;
    format!(
        "global\n  nbthread 1\n  maxconn {connections}\ndefaults\n  mode http\n  timeout connect 5s\n  \
         timeout client 1h\n  timeout server 1h\n  timeout tunnel 1h\nfrontend clients\n  bind {address}\n  \
         default_backend echo\nbackend echo\n  server one {backend}\n"
    )
}

fn pushpin_config(address: SocketAddr, place: &Path) -> String {
    let place = place.display();
    format!(
        "[global]\ninclude={{libdir}}/internal.conf\nrundir={place}\nipc_prefix=load-\n\
         [runner]\nservices=condure,pushpin-proxy,pushpin-handler\nhttp_port={address}\nlogdir={place}\nlog_level=1\n\
         client_buffer_size=8192\nclient_maxconn=5000\ncondure_bin=condure\n\
         [proxy]\nroutesfile=routes\nmax_open_requests=10000\nauto_cross_origin=false\nzurl_out_specs=ipc://{place}/zurl-in\n\
         zurl_out_stream_specs=ipc://{place}/zurl-in-stream\nzurl_in_specs=ipc://{place}/zurl-out\n\
         [handler]\npush_in_spec=ipc://{place}/push\ncommand_spec=ipc://{place}/command\n\
         push_in_http_addr=127.0.0.1\npush_in_http_port=0\n"
    )
}

fn zurl_config(place: &Path) -> String {
    let place = place.display();
    format!(
        "[General]\nin_spec=ipc://{place}/zurl-in\nin_stream_spec=ipc://{place}/zurl-in-stream\n\
         out_spec=ipc://{place}/zurl-out\nin_req_spec=ipc://{place}/zurl-req\ndefpolicy=allow\n\
         max_open_requests=5000\nbuffer_size=200000\ntimeout=600\nin_hwm=1000\nout_hwm=1000\n"
    )
}

fn program(name: &str) -> io::Result<PathBuf> {
    find(name).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Where a program is; Debian keeps daemons where only root looks.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places.map(|place| place.join(name)).find(|file| file.is_file())
}
