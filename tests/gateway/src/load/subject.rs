//! What is measured, as child processes on loopback, which end with the tool however it ends.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{
    error::Failure,
    process::Probe,
    rivals,
    settings::{PUBLIC_KEY_FILE, Places, Settings},
    tokens,
};

/// How long a child may take to listen, and a gateway to have its link.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long a child may take to say what it has to say.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a child may take to end once it is told to.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How long a program may take to end by itself.
const TERM_LIMIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the gateway in Node is.
pub(super) const NODE_PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../compare");

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Kind {
    /// `trunkline run`, with a backend that echoes.
    Gateway,
    /// The least relay of the same topology.
    Floor,
    /// An echo server of tokio-tungstenite.
    Plain,
    /// A straightforward gateway in Node, with `ws`.
    Node,
    /// nginx before an echo server.
    Nginx,
    /// HAProxy before an echo server.
    Haproxy,
    /// Pushpin before an echo server.
    Pushpin,
}

impl Kind {
    /// Everybody.
    pub(super) const ALL: [Kind; 7] =
        [Kind::Gateway, Kind::Floor, Kind::Plain, Kind::Node, Kind::Nginx, Kind::Haproxy, Kind::Pushpin];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Floor => "floor",
            Kind::Plain => "plain",
            Kind::Node => "node",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::Pushpin => "pushpin",
        }
    }

    /// Whether it is of this repository, and must not fail.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Kind::Gateway | Kind::Floor | Kind::Plain)
    }

    /// Whether many clients share one link, so that its backend can answer to many.
    pub(super) const fn is_relay(self) -> bool {
        matches!(self, Kind::Gateway | Kind::Floor | Kind::Node)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A running subject. Dropped, it is gone.
pub(super) struct Subject {
    pub(super) address: SocketAddr,
    pub(super) probe: Probe,
    _server: Helper,
    backend: Option<Helper>,
    /// Of another endpoint.
    _other: Option<Helper>,
    _files: Option<Files>,
}

impl Subject {
    pub(super) fn start(kind: Kind, gateway: &Path, settings: &Settings) -> Result<Subject, Failure> {
        match kind {
            Kind::Plain => {
                let (server, address) = Helper::listening(&["plain"])?;
                Ok(Subject {
                    address,
                    probe: server.probe(),
                    _server: server,
                    backend: None,
                    _other: None,
                    _files: None,
                })
            }
            Kind::Floor => {
                let (backend, at) = Helper::listening(&["backend", "--bare"])?;
                let (server, address) = Helper::listening(&["floor", &at.to_string()])?;
                let (probe, backend) = (server.probe(), Some(backend));
                Ok(Subject { address, probe, _server: server, backend, _other: None, _files: None })
            }
            Kind::Gateway => Self::start_gateway(gateway, settings),
            Kind::Node | Kind::Nginx | Kind::Haproxy | Kind::Pushpin => Self::start_rival(kind),
        }
    }

    fn start_rival(kind: Kind) -> Result<Subject, Failure> {
        let backend = if kind.is_relay() { "backend" } else { "plain" };
        let (backend, backend_address) = Helper::listening(&[backend])?;
        let (address, files) = (free_address()?, Files::new()?);
        let (program, arguments) = rivals::launch(kind, address, backend_address, &files.0)?;
        let (server, pid) = Helper::keeping(&program, &arguments)?;
        wait_until_upgraded(address)?;
        // By now it has the children that it will have.
        let (probe, backend) = (Probe::new(pid), Some(backend));
        Ok(Subject { address, probe, _server: server, backend, _other: None, _files: Some(files) })
    }

    fn start_gateway(program: &Path, settings: &Settings) -> Result<Subject, Failure> {
        let (backend, backend_address) = Helper::listening(&["backend"])?;
        let other = if settings.has_other { Some(Helper::listening(&["backend"])?) } else { None };
        let (other, other_address) = other.unzip();
        let (address, health) = (free_address()?, free_address()?);
        let places = Places { listen: address, health, backend: backend_address, other: other_address };
        let files = Files::new()?;
        let config = files.0.join("trunkline.toml");
        fs::write(&config, settings.text(&places))?;
        if let Some(key) = &settings.public_key {
            fs::write(files.0.join(PUBLIC_KEY_FILE), key)?;
        }
        let arguments = ["run".into(), "--config".into(), config.into_os_string()];
        let (server, pid) = Helper::keeping(program, &arguments)?;
        wait_until_ready(health)?;
        let (probe, backend) = (Probe::new(pid), Some(backend));
        Ok(Subject { address, probe, _server: server, backend, _other: other, _files: Some(files) })
    }

    /// The backend of a gateway.
    pub(super) fn backend(&mut self) -> Result<&mut Helper, Failure> {
        self.backend.as_mut().ok_or_else(|| Failure::Start("there is no backend behind this".to_owned()))
    }
}

/// A child that is this very program. It ends when its standard input does, so it outlives neither its owner nor the
/// tool, whatever ends that.
pub(super) struct Helper {
    child: Child,
    says: mpsc::Receiver<String>,
}

impl Helper {
    fn start(arguments: &[&OsStr]) -> Result<Helper, Failure> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (lines, says) = mpsc::channel();
        let stdout = child.stdout.take();
        let helper = Helper { child, says };
        thread::spawn(move || {
            for line in
                stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok)
            {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(helper)
    }

    /// One that listens, and says where.
    fn listening(what: &[&str]) -> Result<(Helper, SocketAddr), Failure> {
        let helper = Helper::start(&what.iter().map(OsStr::new).collect::<Vec<_>>())?;
        let line = helper.hear()?;
        let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or_else(|| Failure::Start(format!("{what:?} said {line:?}")))?;
        Ok((helper, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// One that runs another program, with its process id.
    fn keeping(program: &Path, arguments: &[OsString]) -> Result<(Helper, u32), Failure> {
        let all = ["keep", "--"].map(OsStr::new).into_iter().chain([program.as_os_str()]);
        let all: Vec<_> = all.chain(arguments.iter().map(OsString::as_os_str)).collect();
        let helper = Helper::start(&all)?;
        let line = helper.hear()?;
        let pid = line.strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        let pid = pid.ok_or_else(|| {
            let program = program.display();
            Failure::Start(format!("{program} does not run; is it built (`cargo build --release`)?"))
        })?;
        Ok((helper, pid))
    }

    fn probe(&self) -> Probe {
        Probe::new(self.child.id())
    }

    pub(super) fn order(&mut self, order: &str) -> io::Result<()> {
        match &mut self.child.stdin {
            Some(orders) => writeln!(orders, "{order}"),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The next line that it says.
    pub(super) fn hear(&self) -> Result<String, Failure> {
        let limit = PATIENCE;
        self.says
            .recv_timeout(limit)
            .map_err(|_| Failure::Start(format!("a child said nothing for {limit:?}")))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + END_LIMIT;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(LOOK_EVERY);
        }
        // It may have ended by now, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program for as long as the standard input is open, and says its process id. Its children end with it.
pub(super) fn keep(program: &Path, arguments: &[OsString]) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    super::say(&format!("pid {}", child.id()));
    let waited = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let group = Pid::from_child(&child);
    kill_process_group(group, Signal::TERM)?;
    let until = Instant::now() + TERM_LIMIT;
    while Instant::now() < until && child.try_wait()?.is_none() {
        thread::sleep(LOOK_EVERY);
    }
    // All may have ended by now, as they should.
    let _ = kill_process_group(group, Signal::KILL);
    child.wait()?;
    waited.map(drop)
}

/// A directory that does not outlive its owner.
struct Files(PathBuf);

impl Files {
    fn new() -> io::Result<Files> {
        let unique = Instant::now();
        let place = env::temp_dir().join(format!("trunkline-load-{}-{:p}", std::process::id(), &unique));
        fs::create_dir_all(&place)?;
        Ok(Files(place))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What is left is one small file in the system's place for such.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An address that nobody listens on just now.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Waits until the gateway has its link.
fn wait_until_ready(address: SocketAddr) -> Result<(), Failure> {
    let until = Instant::now() + START_LIMIT;
    while Instant::now() < until {
        let all = |answer: &str, what| answer.matches(what).count();
        let is_up = |answer: String| match all(&answer, r#""link":"#) {
            0 => false,
            links => links == all(&answer, r#""link":"up""#),
        };
        if ask_ready(address).is_ok_and(is_up) {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(Failure::Start(format!("the gateway has no link after {START_LIMIT:?}")))
}

fn ask_ready(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until a proxy lets somebody through.
fn wait_until_upgraded(address: SocketAddr) -> Result<(), Failure> {
    let request = tokens::request(address, "first")?;
    let try_it = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LOOK_EVERY * 10))?;
        stream.write_all(request.as_bytes())?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b"101"))
    };
    let until = Instant::now() + START_LIMIT;
    while Instant::now() < until {
        if try_it().unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(Failure::Start(format!("nobody is let through after {START_LIMIT:?}")))
}
