//! What starts endpoints and changes them: their threads, and the keepers of the keys that they verify with.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
};

use tokio::sync::{mpsc, watch};

use crate::{
    config::EndpointConfig,
    endpoint::{Ends, Status},
    jwks::Keepers,
    metrics::EndpointMetrics,
    server::{Answers, Desk, Gate},
    worker::{Start, Workers},
};

/// Commands that may wait for an endpoint; handshakes beyond wait their turn.
const COMMANDS_MAX: usize = 1024;

/// The crew of a gateway.
pub(crate) struct Crew {
    workers: Workers,
    /// Where each endpoint tells of what it does.
    ends: Ends,
    keepers: RefCell<Keepers>,
    /// Endpoints that were ever started.
    started: Cell<u64>,
}

impl Crew {
    pub(crate) fn new(workers: Workers, ends: Ends) -> Self {
        Crew { workers, ends, keepers: RefCell::default(), started: Cell::new(0) }
    }

    /// Starts an endpoint.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub(crate) fn start(&self, config: EndpointConfig) -> io::Result<Gate> {
        let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
        let (status_end, status) = watch::channel(Status::STARTING);
        let metrics = Arc::new(EndpointMetrics::default());
        let seat = self.workers.start(Start {
            config: config.clone(),
            metrics: Arc::clone(&metrics),
            commands: commands_end,
            status: status_end,
            ends: self.ends.clone(),
        })?;
        if config.watched {
            tracing::info!(target: "gateway", endpoint = config.name, "held against the laws");
        }
        self.started.set(self.started.get() + 1);
        let desk = Desk {
            number: self.started.get(),
            commands,
            status,
            metrics,
            answers: Answers::default(),
            series: RefCell::default(),
            _seat: seat,
        };
        Ok(self.gate(config, Rc::new(desk)))
    }

    /// What newcomers meet of an endpoint from now on. Keys that were fetched for the old configuration are there at once.
    pub(crate) fn change(&self, gate: &Gate, config: EndpointConfig) -> Gate {
        self.gate(config, Rc::clone(&gate.desk))
    }

    /// Lets go what nobody needs any more.
    pub(crate) fn sweep(&self) {
        self.keepers.borrow_mut().sweep();
    }

    fn gate(&self, config: EndpointConfig, desk: Rc<Desk>) -> Gate {
        let keepers = self.keepers.borrow_mut().of(&config.verifier, &config.token.fetch);
        Gate { config, desk, keepers }
    }
}
