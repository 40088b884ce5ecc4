//! What a program says in a WebSocket, with the masks of its frames undone.
//!
//! Every frame of a client has a mask, drawn by the client, so a text is never on
//! the wire as it is (RFC 6455 §5.3).

/// Follows the frames of one direction, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The head of a frame, as far as it is there: at most 14 bytes.
    head: Vec<u8>,
    mask: Option<[u8; 4]>,
    /// Bytes of the frame's payload that are still to come.
    left: u64,
    /// Bytes of it that are gone.
    gone: usize,
}

impl Frames {
    /// The payloads within the next bytes, joined. Those of compressed frames are
    /// given as they are.
    pub(crate) fn payload(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(bytes.len());
        while let Some((first, rest)) = bytes.split_first() {
            if self.left == 0 {
                self.head.push(*first);
                bytes = rest;
                self.begin();
                continue;
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (here, rest) = bytes.split_at(most);
            let mask = self.mask.unwrap_or_default();
            payload.extend(
                here.iter().enumerate().map(|(at, byte)| byte ^ mask[(self.gone + at) % 4]),
            );
            self.gone = (self.gone + most) % 4;
            self.left -= most as u64;
            bytes = rest;
        }
        payload
    }

    /// Reads the head once all of it is there.
    ///
    /// SOURCE: RFC 6455 §5.2.
    fn begin(&mut self) {
        let Some(second) = self.head.get(1) else { return };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = if second & 0x80 == 0 { 0 } else { 4 };
        if self.head.len() < 2 + extended + masked {
            return;
        }
        let length = &self.head[2..2 + extended];
        self.left = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        self.mask = self.head[2 + extended..].first_chunk().copied();
        self.gone = 0;
        self.head.clear();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bolero::{check, produce};

    use super::*;

    /// A frame as a client sends it.
    pub(crate) fn frame(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![0x81];
        match payload.len() {
            short @ ..126 => frame.push(0x80 | short as u8),
            length @ ..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    #[test]
    fn the_masked_example_of_the_specification_is_read() {
        // SOURCE: RFC 6455 §5.7.
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(Frames::default().payload(&bytes), b"Hello");
        assert_eq!(Frames::default().payload(&[0x81, 0x02, b'h', b'i']), b"hi");
    }

    #[test]
    fn payloads_of_every_length_come_out_however_they_are_cut() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 0x1_0001] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let sent = [frame(&payload, [1, 2, 3, 4]), frame(b"next", [9, 8, 7, 6])].concat();
            for cut in [1, 2, 3, 5, 7, 4096] {
                let mut frames = Frames::default();
                let read: Vec<u8> =
                    sent.chunks(cut).flat_map(|piece| frames.payload(piece)).collect();
                assert_eq!(read, [payload.as_slice(), b"next"].concat(), "{length} by {cut}");
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd_and_cuts_change_nothing() {
        check!().with_generator(produce::<(Vec<u8>, u8)>()).for_each(|(bytes, cut)| {
            let whole = Frames::default().payload(bytes);
            let mut frames = Frames::default();
            let pieces = bytes.chunks(usize::from(*cut).max(1));
            let read: Vec<u8> = pieces.flat_map(|piece| frames.payload(piece)).collect();
            assert_eq!(read, whole);
            assert!(whole.len() <= bytes.len());
        });
    }
}
