//! Reading frames.

use trunkline_core::CloseCode;

use super::{Opcode, mask};

/// Whose frames are read: a client must mask them, a server must not (RFC 6455, section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The frames of a client.
    FromClient,
    /// The frames of a server.
    FromServer,
}

/// What came whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A Ping, with its payload.
    Ping(&'a [u8]),
    /// A Pong, with its payload.
    Pong(&'a [u8]),
    /// The closing handshake begins or is answered: the code as the peer sent it, if it sent one, and the reason.
    Close(Option<u16>, &'a str),
}

/// How a peer broke the protocol. The connection is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Against RFC 6455, as the text says.
    Protocol(&'static str),
    /// A text message or a close reason is not UTF-8.
    NotUtf8,
    /// A message exceeds the limit.
    TooBig,
}

impl Fault {
    /// The close code for it (RFC 6455, section 7.4.1).
    pub const fn code(self) -> CloseCode {
        match self {
            Fault::Protocol(_) => CloseCode::PROTOCOL,
            Fault::NotUtf8 => CloseCode::INVALID_DATA,
            Fault::TooBig => CloseCode::TOO_BIG,
        }
    }

    /// What to tell the peer.
    pub const fn reason(self) -> &'static str {
        match self {
            Fault::Protocol(what) => what,
            Fault::NotUtf8 => "text is not UTF-8",
            Fault::TooBig => "message too big",
        }
    }
}

/// Reads the frames of one connection. It keeps the fragments of a message that is not complete, and nothing else.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    message_bytes_max: usize,
    fragments: Option<Box<Fragments>>,
    /// How much of a frame that is not complete is whole characters, if it is text.
    foreseen: usize,
}

/// What is unmasked at a time in order to look at it, and what there can be of a character that is cut.
const LOOK_BYTES: usize = 256;
const CUT_BYTES_MAX: usize = 3;

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
    /// So many of them are whole characters, if it is text.
    checked: usize,
    /// The message has been handed out; it goes with the next frame.
    complete: bool,
}

/// A frame that is there whole.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    is_final: bool,
    opcode: Opcode,
    key: Option<[u8; 4]>,
    header_len: usize,
    payload_len: usize,
}

impl Frame {
    /// Its size in bytes, the header's included.
    pub const fn size(&self) -> usize {
        self.header_len + self.payload_len
    }

    /// Whether something has come whole with it: a control frame, or the last of a message.
    pub const fn completes(&self) -> bool {
        self.is_final
    }
}

impl Decoder {
    /// A message of more than `message_bytes_max` bytes is a fault.
    pub const fn new(role: Role, message_bytes_max: usize) -> Self {
        Decoder { role, message_bytes_max, fragments: None, foreseen: 0 }
    }

    /// Reads one frame from the front of `buffer`, and unmasks it there. `None`: it is not complete. Else how many
    /// bytes it took, and what came whole with it, if anything did.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol, as soon as its bytes show it.
    pub fn decode<'a>(
        &'a mut self,
        buffer: &'a mut [u8],
    ) -> Result<Option<(usize, Option<Item<'a>>)>, Fault> {
        let Some(frame) = self.frame(buffer)? else {
            self.foresee(buffer)?;
            return Ok(None);
        };
        let len = frame.size();
        let item = self.take(frame, &mut buffer[..len])?;
        Ok(Some((len, item)))
    }

    /// The frame at the front of `buffer`, if it is there whole.
    ///
    /// # Errors
    ///
    /// As [`Decoder::decode`].
    pub fn frame(&self, buffer: &[u8]) -> Result<Option<Frame>, Fault> {
        let frame = self.header(buffer)?;
        Ok(frame.filter(|frame| frame.size() <= buffer.len()))
    }

    /// Takes a frame that [`Decoder::frame`] has just found: `bytes` are all of it. It is unmasked there.
    ///
    /// # Errors
    ///
    /// As [`Decoder::decode`].
    pub fn take<'a>(&'a mut self, frame: Frame, bytes: &'a mut [u8]) -> Result<Option<Item<'a>>, Fault> {
        if self.fragments.as_ref().is_some_and(|fragments| fragments.complete) {
            self.fragments = None;
        }
        self.foreseen = 0;
        let payload = bytes.get_mut(frame.header_len..).unwrap_or_default();
        if let Some(key) = frame.key {
            mask(payload, key);
        }
        Ok(match frame.opcode {
            Opcode::Ping => Some(Item::Ping(payload)),
            Opcode::Pong => Some(Item::Pong(payload)),
            Opcode::Close => Some(close(payload)?),
            Opcode::Text if frame.is_final => Some(whole(true, payload)?),
            Opcode::Binary if frame.is_final => Some(whole(false, payload)?),
            Opcode::Text | Opcode::Binary => {
                let (is_text, bytes) = (frame.opcode == Opcode::Text, payload.to_vec());
                let mut fragments = Box::new(Fragments { is_text, bytes, checked: 0, complete: false });
                fragments.check()?;
                self.fragments = Some(fragments);
                None
            }
            Opcode::Continuation => self.go_on(frame.is_final, payload)?,
        })
    }

    fn go_on(&mut self, is_final: bool, payload: &[u8]) -> Result<Option<Item<'_>>, Fault> {
        // `header` has made sure that there is something to go on with.
        let Some(fragments) = &mut self.fragments else { return Ok(None) };
        fragments.bytes.extend_from_slice(payload);
        fragments.complete = is_final;
        if is_final {
            return whole(fragments.is_text, &fragments.bytes).map(Some);
        }
        fragments.check()?;
        Ok(None)
    }

    /// Looks at what has come of a text frame that is not complete: where that cannot become UTF-8 any more, the rest
    /// is not waited for.
    ///
    /// # Errors
    ///
    /// As [`Decoder::decode`].
    pub fn foresee(&mut self, buffer: &[u8]) -> Result<(), Fault> {
        let Some(frame) = self.header(buffer)? else { return Ok(()) };
        let begun = self.fragments.as_ref().filter(|begun| begun.is_text && !begun.complete);
        let cut: &[u8] = match (frame.opcode, begun) {
            (Opcode::Text, _) => &[],
            (Opcode::Continuation, Some(begun)) => begun.unchecked(),
            _ => return Ok(()),
        };
        let payload = buffer.get(frame.header_len..).unwrap_or_default();
        while let Some(new) = payload.get(self.foreseen..).filter(|new| !new.is_empty()) {
            // The first look begins with the character that the last fragment has cut.
            let cut = if self.foreseen == 0 { cut } else { &[] };
            let new = &new[..new.len().min(LOOK_BYTES)];
            let mut room = [0; CUT_BYTES_MAX + LOOK_BYTES];
            let look = &mut room[..cut.len() + new.len()];
            look[..cut.len()].copy_from_slice(cut);
            look[cut.len()..].copy_from_slice(new);
            let mut key = frame.key.unwrap_or_default();
            key.rotate_left(self.foreseen % 4);
            mask(&mut look[cut.len()..], key);
            match whole_characters(look)?.saturating_sub(cut.len()) {
                0 => break,
                seen => self.foreseen += seen,
            }
        }
        Ok(())
    }

    /// Reads a header and checks all that it shows.
    fn header(&self, buffer: &[u8]) -> Result<Option<Frame>, Fault> {
        let &[first, second, ..] = buffer else { return Ok(None) };
        let is_final = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(Fault::Protocol("reserved bit set"));
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Fault::Protocol("unknown opcode"))?;
        let is_control = opcode as u8 >= Opcode::Close as u8;
        let fragments = self.fragments.as_ref().filter(|fragments| !fragments.complete);
        match (is_control, opcode, fragments) {
            (true, ..) if !is_final => return Err(Fault::Protocol("fragmented control frame")),
            (true, ..) if second & 0x7f > 125 => return Err(Fault::Protocol("control frame too long")),
            (false, Opcode::Continuation, None) => return Err(Fault::Protocol("nothing to continue")),
            (false, Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(Fault::Protocol("message within a fragmented message"));
            }
            _ => {}
        }
        let is_masked = second & 0x80 != 0;
        if is_masked != (self.role == Role::FromClient) {
            return Err(Fault::Protocol(if is_masked { "masked frame" } else { "unmasked frame" }));
        }
        let (payload_len, mut len) = match second & 0x7f {
            126 => match buffer.get(2..4) {
                Some(&[a, b]) => (u64::from(u16::from_be_bytes([a, b])), 4),
                _ => return Ok(None),
            },
            127 => match buffer.get(2..10).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
                Some(bytes) => (u64::from_be_bytes(bytes), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        let is_shortest = match len {
            4 => payload_len >= 126,
            10 => payload_len > 0xffff,
            _ => true,
        };
        if !is_shortest {
            return Err(Fault::Protocol("length not in its shortest form"));
        }
        let so_far = fragments.map_or(0, |fragments| fragments.bytes.len());
        let room = self.message_bytes_max.saturating_sub(so_far) as u64;
        if !is_control && payload_len > room {
            return Err(Fault::TooBig);
        }
        let key = match (is_masked, buffer.get(len..len + 4)) {
            (false, _) => None,
            (true, Some(&[a, b, c, d])) => Some([a, b, c, d]),
            (true, _) => return Ok(None),
        };
        len += if is_masked { 4 } else { 0 };
        Ok(Some(Frame { is_final, opcode, key, header_len: len, payload_len: payload_len as usize }))
    }
}

impl Fragments {
    /// Looks at what is new: of a text that cannot become UTF-8 any more, the rest is not waited for. A character may
    /// be cut by the edge of a fragment.
    fn check(&mut self) -> Result<(), Fault> {
        if self.is_text {
            self.checked += whole_characters(self.unchecked())?;
        }
        Ok(())
    }

    /// After a check: the part of a character that is there, three bytes at the most.
    fn unchecked(&self) -> &[u8] {
        self.bytes.get(self.checked..).unwrap_or_default()
    }
}

/// How many bytes of what can become UTF-8 are whole characters.
fn whole_characters(bytes: &[u8]) -> Result<usize, Fault> {
    match core::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(Fault::NotUtf8),
    }
}

fn whole(is_text: bool, bytes: &[u8]) -> Result<Item<'_>, Fault> {
    if !is_text {
        return Ok(Item::Binary(bytes));
    }
    core::str::from_utf8(bytes).map(Item::Text).map_err(|_| Fault::NotUtf8)
}

/// A close frame's payload (RFC 6455, sections 5.5.1 and 7.4).
fn close(payload: &[u8]) -> Result<Item<'_>, Fault> {
    match payload {
        [] => Ok(Item::Close(None, "")),
        [_] => Err(Fault::Protocol("close frame of one byte")),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            if CloseCode::new(code).is_none() {
                return Err(Fault::Protocol("close code that may not be sent"));
            }
            let reason = core::str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
            Ok(Item::Close(Some(code), reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::frame;

    #[test]
    fn what_is_written_is_read_at_every_length_of_length() {
        for size in [0, 1, 7, 125, 126, 127, 0xffff, 0x1_0000, 100_000] {
            let text = "x".repeat(size);
            let mut bytes = Vec::new();
            frame::write_masked(Opcode::Text, [1, 2, 3, 4], 5, &mut bytes, |out| {
                out.extend_from_slice(text.as_bytes());
            });
            let total = bytes.len();
            let mut decoder = Decoder::new(Role::FromClient, 1 << 20);
            for cut in [0, 1, 2, total / 2, total - 1] {
                assert_eq!(decoder.decode(&mut bytes.clone()[..cut]), Ok(None), "{cut} of {total} bytes");
            }
            assert_eq!(decoder.decode(&mut bytes), Ok(Some((total, Some(Item::Text(&text))))));
        }
    }

    #[test]
    fn fragments_make_one_message_with_control_frames_between() {
        let mut bytes = vec![0x01, 0x02, b'a', b'b', 0x89, 0x01, b'!', 0x80, 0x01, b'c'];
        let mut decoder = Decoder::new(Role::FromServer, 3);
        assert_eq!(decoder.decode(&mut bytes), Ok(Some((4, None))));
        assert_eq!(decoder.decode(&mut bytes[4..]), Ok(Some((3, Some(Item::Ping(b"!"))))));
        assert_eq!(decoder.decode(&mut bytes[7..]), Ok(Some((3, Some(Item::Text("abc"))))));
        assert_eq!(decoder.decode(&mut [0x80, 0x00]), Err(Fault::Protocol("nothing to continue")));
    }

    #[test]
    fn a_text_that_cannot_become_utf8_is_refused_with_the_fragment_that_shows_it() {
        // κό, cut within both characters; then what may follow the lead of four bytes, and what may not.
        let fragments: [&[u8]; 4] = [b"\xce", b"\xba\xe1\xbd", b"\xb9\xf4", b"\x90"];
        let mut decoder = Decoder::new(Role::FromServer, 100);
        for (index, payload) in fragments.into_iter().enumerate() {
            let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
            let mut bytes = vec![opcode as u8, payload.len() as u8];
            bytes.extend_from_slice(payload);
            let expected = if index == 3 { Err(Fault::NotUtf8) } else { Ok(Some((bytes.len(), None))) };
            assert_eq!(decoder.decode(&mut bytes), expected, "fragment {index}");
        }
        let mut binary = [0x02, 0x01, 0xff, 0x80, 0x01, 0xff];
        let mut decoder = Decoder::new(Role::FromServer, 100);
        assert_eq!(decoder.decode(&mut binary), Ok(Some((3, None))));
        assert_eq!(decoder.decode(&mut binary[3..]), Ok(Some((3, Some(Item::Binary(b"\xff\xff"))))));
    }

    #[test]
    fn a_text_that_cannot_become_utf8_is_refused_with_the_byte_that_shows_it() {
        // κόσμε and more than is looked at in one go, then a lead of four bytes with what may not follow it.
        let text = [&"κόσμε🦊é".repeat(40).into_bytes()[..], b"\xf4\x90\x80\x80 and more"].concat();
        let shows = text.len() - 11;
        let mut whole = Vec::new();
        frame::write_masked(Opcode::Text, [1, 2, 3, 4], 0, &mut whole, |out| out.extend_from_slice(&text));
        // The same, its beginning in a frame of its own that ends within a character.
        let mut parts = Vec::new();
        frame::write_masked(Opcode::Text, [9, 0, 9, 0], 0, &mut parts, |out| out.extend_from_slice(b"\xce"));
        parts[0] &= 0x7f;
        let begun = parts.len();
        frame::write_masked(Opcode::Continuation, [1, 2, 3, 4], 0, &mut parts, |out| {
            out.extend_from_slice(&text[1..]);
        });
        for (mut bytes, before) in [(whole, 0), (parts, begun)] {
            let mut decoder = Decoder::new(Role::FromClient, 10_000);
            assert!(before == 0 || decoder.decode(&mut bytes[..before]) == Ok(Some((before, None))));
            let last = bytes.len() - (text.len() - shows);
            for end in before..last {
                assert_eq!(decoder.decode(&mut bytes[before..end]), Ok(None), "{end} of {last} bytes");
            }
            assert_eq!(decoder.decode(&mut bytes[before..last]), Err(Fault::NotUtf8));
        }
    }

    #[test]
    fn every_fault_has_its_code() {
        let cases: [(&[u8], u16); 17] = [
            (&[0xc1, 0x80], 1002),             // a reserved bit
            (&[0x83, 0x80], 1002),             // a reserved opcode
            (&[0x81, 0x01, b'a'], 1002),       // not masked
            (&[0x09, 0x80], 1002),             // a fragmented Ping
            (&[0x89, 0xfe, 0, 126], 1002),     // a long Ping
            (&[0x80, 0x80], 1002),             // nothing to continue
            (&[0x81, 0xfe, 0x00, 0x80], 1009), // larger than the limit
            (&[0x81, 0xfe, 0x00, 0x7d], 1002), // a long form of a short length
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002),
            (&[0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0], 1009),
            (&[0x88, 0x81, 0, 0, 0, 0, 3], 1002), // a close frame of one byte
            (&[0x88, 0x82, 0, 0, 0, 0, 3, 231], 1002), // 999
            (&[0x88, 0x82, 0, 0, 0, 0, 3, 237], 1002), // 1005
            (&[0x88, 0x82, 0, 0, 0, 0, 3, 247], 1002), // 1015
            (&[0x88, 0x83, 0, 0, 0, 0, 3, 232, 0xff], 1007),
            (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
            (&[0x01, 0x81, 0, 0, 0, 0, 0xff], 1007), // the message is not complete
        ];
        for (bytes, code) in cases {
            let mut decoder = Decoder::new(Role::FromClient, 127);
            let fault = decoder.decode(&mut bytes.to_vec()).expect_err("a fault");
            assert_eq!(fault.code().get(), code, "{bytes:02x?}");
        }
    }
}
