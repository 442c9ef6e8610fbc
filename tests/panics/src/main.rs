//! Every way into the core, each a function of its own, so that `tests/panics/run` can follow the calls from there.

use std::{env::args, hint::black_box};

use trunkline_core::{
    Binary, Endpoint, Event, Identity, Input, Output, Settings, Sink, Time,
    handshake::{Answer, UpgradeRequest, may_be_http},
    language::{Action, BadAction, Data, accept_binary, decode, encode_close, encode_message, encode_open},
    path::{PathFault, Routes, Template, TemplateError},
};

/// Writes events as the shell does, and takes all else as done.
struct Link(Vec<u8>);

impl Sink<String> for Link {
    fn emit(&mut self, output: Output<'_, String>) -> usize {
        match output {
            Output::Event { event, .. } => black_box(encoder)(&event, &mut self.0),
            Output::Message { data: Data::Text(text), .. } => return text.len(),
            _ => {}
        }
        black_box(self.0.len())
    }
}

#[inline(never)]
fn machine(endpoint: &mut Endpoint<String>, now: Time, input: Input<'_, String>, out: &mut Link) {
    endpoint.handle(now, input, out);
}

#[inline(never)]
fn deadline(endpoint: &Endpoint<String>) -> Option<Time> {
    endpoint.next_deadline()
}

#[inline(never)]
fn encoder(event: &Event<'_, String>, out: &mut Vec<u8>) {
    match event {
        Event::Open { who } => encode_open(who, out),
        Event::Message { who, payload } => {
            encode_message(who, &Data::Text(payload.as_str().into()), out);
            encode_message(who, &Data::Binary(payload.as_bytes().into()), out);
        }
        Event::Close { who } => encode_close(who, out),
    }
}

#[inline(never)]
fn decoder(frame: &[u8], binary: Binary) -> Result<Action<'_>, BadAction> {
    decode(frame, binary)
}

#[inline(never)]
fn binary(message: &[u8], binary: Binary) -> usize {
    accept_binary(message, binary).map_or(0, |data| match data {
        Data::Text(text) => text.len(),
        Data::Binary(bytes) => bytes.len(),
    })
}

#[inline(never)]
fn identity(user: &str, value: &str) -> Identity {
    Identity::new(user, [("lobby_id", value)])
}

#[inline(never)]
fn template(source: &str) -> Result<Template, TemplateError> {
    Template::parse(source)
}

#[inline(never)]
fn path(routes: &Routes, raw: &str) -> Result<usize, PathFault> {
    Ok(routes.find(raw)?.map_or(0, |found| found.index))
}

#[inline(never)]
fn request(request: &UpgradeRequest<'_>) -> Result<(), Answer> {
    request.check()
}

#[inline(never)]
fn beginning(bytes: &[u8]) -> bool {
    may_be_http(bytes)
}

/// Nothing here is meant to be run; it is only meant to be reached.
fn main() {
    let mut endpoint = Endpoint::new(Settings::default(), Time(0));
    let mut out = Link(Vec::new());
    for text in args() {
        let bytes = text.as_bytes();
        let who = black_box(identity)(&text, &text);
        for input in [
            Input::Ask { identity: who, expires: black_box(Some(Time(5))) },
            Input::Action {
                link: trunkline_core::LinkId(1),
                action: black_box(decoder)(bytes, Binary::Base64),
            },
            Input::Deadline,
        ] {
            black_box(machine)(&mut endpoint, black_box(Time(1)), black_box(input), &mut out);
        }
        black_box(black_box(deadline)(&endpoint));
        black_box(black_box(binary)(bytes, black_box(Binary::Text)));
        let routes =
            black_box(template)(&text).ok().and_then(|one| Routes::new([one]).ok()).unwrap_or_default();
        black_box(black_box(path)(&routes, &text)).ok();
        let asks = UpgradeRequest {
            method: &text,
            version: (1, 1),
            connection: &[bytes],
            upgrade: &[bytes],
            websocket_version: &[bytes],
            websocket_key: &[bytes],
        };
        black_box(black_box(request)(&asks)).ok();
        black_box(black_box(beginning)(bytes));
    }
}
