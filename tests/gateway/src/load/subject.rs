//! What is measured, as child processes on loopback, which end with the tool however it ends.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use super::{
    error::Failure,
    process::Probe,
    settings::{PUBLIC_KEY_FILE, Settings},
};

/// How long a child may take to listen, and a gateway to have its link.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long a child may take to say what it has to say.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a child may take to end once it is told to.
const END_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Kind {
    /// `trunkline run`, with a backend that echoes.
    Gateway,
    /// An echo server of tokio-tungstenite.
    Plain,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Plain => "plain",
        }
    }
}

/// A running subject. Dropped, it is gone.
pub(super) struct Subject {
    pub(super) address: SocketAddr,
    pub(super) probe: Probe,
    _server: Helper,
    backend: Option<Helper>,
    _files: Option<Files>,
}

impl Subject {
    pub(super) fn start(kind: Kind, gateway: &Path, settings: &Settings) -> Result<Subject, Failure> {
        match kind {
            Kind::Plain => {
                let (server, address) = Helper::listening("plain")?;
                Ok(Subject { address, probe: server.probe(), _server: server, backend: None, _files: None })
            }
            Kind::Gateway => Self::start_gateway(gateway, settings),
        }
    }

    fn start_gateway(program: &Path, settings: &Settings) -> Result<Subject, Failure> {
        let (backend, backend_address) = Helper::listening("backend")?;
        let address = free_address()?;
        let files = Files::new()?;
        let config = files.0.join("trunkline.toml");
        fs::write(&config, settings.text(address, backend_address))?;
        if let Some(key) = &settings.public_key {
            fs::write(files.0.join(PUBLIC_KEY_FILE), key)?;
        }
        let arguments = [OsStr::new("keep"), program.as_os_str(), config.as_os_str()];
        let server = Helper::start(&arguments)?;
        let line = server.hear()?;
        let pid = line.strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        let pid = pid.ok_or_else(|| {
            let program = program.display();
            Failure::Start(format!(
                "{program} does not run; build it with `cargo build --release -p trunkline`"
            ))
        })?;
        wait_until_ready(address)?;
        let (probe, backend) = (Probe::new(pid), Some(backend));
        Ok(Subject { address, probe, _server: server, backend, _files: Some(files) })
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
    fn listening(what: &str) -> Result<(Helper, SocketAddr), Failure> {
        let helper = Helper::start(&[OsStr::new(what)])?;
        let line = helper.hear()?;
        let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or_else(|| Failure::Start(format!("{what} said {line:?}")))?;
        Ok((helper, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
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

/// Runs a gateway for as long as the standard input is open, and says its process id.
pub(super) fn keep(program: &Path, config: &Path) -> io::Result<()> {
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    let mut gateway = command.spawn()?;
    super::say(&format!("pid {}", gateway.id()));
    let waited = io::copy(&mut io::stdin().lock(), &mut io::sink());
    gateway.kill()?;
    gateway.wait()?;
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
        if ask_ready(address).is_ok_and(|answer| answer.contains(r#""link":"up""#)) {
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
