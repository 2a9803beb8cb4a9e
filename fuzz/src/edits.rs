//! A good file, changed here and there: where a fuzzer gets with it what it would hardly ever write itself.

/// Changes of a file, read from an input: as long as it lasts, a place (two bytes), what happens there (one byte), and bytes.
pub struct Edits<'a>(pub &'a [u8]);

impl Edits<'_> {
    /// `good` with the changes; equal to it when they cancel out.
    pub fn of(&self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        let mut rest = self.0;
        while let [a, b, what, tail @ ..] = rest {
            let at = usize::from(u16::from_le_bytes([*a, *b])) % (bytes.len() + 1);
            let count = usize::from(what >> 3).min(bytes.len() - at);
            rest = tail;
            match what & 7 {
                // Another bit.
                0 | 1 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << (what >> 5);
                    }
                }
                // Gone.
                2 => drop(bytes.drain(at..at + count)),
                // Cut off.
                3 => bytes.truncate(at),
                // Twice.
                4 => {
                    let piece = bytes[at..at + count].to_vec();
                    bytes.splice(at..at, piece);
                }
                // Somewhere else.
                5 => {
                    let piece: Vec<u8> = bytes.drain(at..at + count).collect();
                    bytes.extend(piece);
                }
                // Other bytes in between, or in place.
                more => {
                    let piece = &tail[..count.min(tail.len())];
                    rest = &tail[piece.len()..];
                    let gone = if more == 6 { 0 } else { piece.len().min(bytes.len() - at) };
                    bytes.splice(at..at + gone, piece.iter().copied());
                }
            }
        }
        bytes
    }
}
