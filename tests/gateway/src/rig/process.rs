//! A gateway in a process of its own: it can be given few descriptors, and what it holds can be counted.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tokio::sync::Notify;

use super::{Setup, within};

/// Gateways that this process has started.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// What is run: `path verb --config FILE`.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its first argument.
    pub verb: &'static str,
}

impl Program {
    /// The gateway as it ships.
    pub fn real(path: &Path) -> Program {
        Program { path: path.to_owned(), verb: "run" }
    }

    /// The gateway's library in the program `trunkline-hostile`: what `cargo test` has just built.
    pub fn library(hostile: &Path) -> Program {
        Program { path: hostile.to_owned(), verb: "serve" }
    }
}

/// A running gateway. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
    files: PathBuf,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: Notify,
}

impl Process {
    /// Starts one, with at most this many open files where that is said, and waits until it listens.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub async fn start(program: &Program, setup: &Setup, files_max: Option<u32>) -> Process {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let files = std::env::temp_dir().join(format!("trunkline-process-{}-{number}", process::id()));
        fs::create_dir_all(&files).expect("there is a place for temporary files");
        let config = files.join("trunkline.toml");
        fs::write(&config, setup.text()).expect("a small file can be written");

        let mut command = match files_max {
            None => Command::new(&program.path),
            Some(most) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("ulimit -n {most} && exec \"$@\""), "sh"]).arg(&program.path);
                command
            }
        };
        command.arg(program.verb).arg("--config").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.path.display()));
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("it was asked for");
        let gathered = Arc::clone(&log);
        thread::spawn(move || gather(stderr, &gathered));
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut started = Process { child, address, log, files };
        let line = started.says("that it listens", |line| line.contains("listening")).await;
        started.address = address_in(&line).unwrap_or_else(|| panic!("no address in {line}"));
        started
    }

    /// Where it listens for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts something else into its configuration, and sends it SIGHUP.
    ///
    /// # Panics
    ///
    /// It has ended.
    pub fn reconfigure(&self, text: &str) {
        fs::write(self.files.join("trunkline.toml"), text).expect("a small file can be written");
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(sent.expect("there is a kill").success(), "the gateway has ended");
    }

    /// How many threads it has (`/proc/PID/task`).
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn threads(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.child.id()))?.count())
    }

    /// What it has logged so far, line by line.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has logged a line that fits.
    pub async fn says(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let said = async {
            loop {
                let changed = self.log.changed.notified();
                if let Some(line) = self.log().into_iter().find(|line| fits(line)) {
                    return line;
                }
                changed.await;
            }
        };
        within(&format!("the gateway says {what}"), said).await
    }

    /// How many descriptors it has open (`/proc/PID/fd`).
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// How many bytes of memory it has resident (`VmRSS` in `/proc/PID/status`).
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes
            .map(|kibibytes| kibibytes << 10)
            .ok_or_else(|| io::Error::other("it has no memory any more"))
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; what is left is one small file in the system's place for such.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.files);
    }
}

fn gather(stderr: ChildStderr, log: &Log) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        log.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        log.changed.notify_waiters();
    }
}

/// The first address for clients in the line that says where the gateway listens, whatever form the log has.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, clients) = line.split_once("clients")?.1.split_once('[')?;
    clients.split([',', ']']).next()?.parse().ok()
}
