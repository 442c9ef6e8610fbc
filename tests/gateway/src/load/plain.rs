//! The baseline: an echo server of tokio-tungstenite as one would write it, with no gateway and no backend.

use std::{io, net::Ipv4Addr};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{Error, protocol::WebSocketConfig},
};

/// The default of 128 KiB is allocated for each connection at once.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// Runs until it is killed, or its standard input ends.
pub(super) fn run() -> io::Result<()> {
    trunkline::sys::raise_descriptor_limit();
    super::end_with_input();
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        super::say(&format!("listening {}", listener.local_addr()?.port()));
        loop {
            let (stream, _) = listener.accept().await?;
            // A client that leaves or errs is the load's to notice.
            tokio::spawn(async move { drop(echo(stream).await) });
        }
    })
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let mut client = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = client.next().await {
        let message = message?;
        if message.is_text() {
            client.send(message).await?;
        }
    }
    Ok(())
}
