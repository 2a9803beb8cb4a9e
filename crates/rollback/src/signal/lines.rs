//! Chunks of bytes into lines, none longer than a limit and none held but the one that is not whole yet.

use super::ReadError;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of the line whose end has not come.
    partial: Vec<u8>,
    /// Lines that were handed over.
    count: u64,
}

impl Lines {
    /// Hands over each line that ends in `chunk`, without its end, with its number (from 1).
    pub fn push(
        &mut self,
        mut chunk: &[u8],
        bytes_max: usize,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        while let Some(end) = chunk.iter().position(|b| *b == b'\n') {
            let (head, rest) = chunk.split_at(end);
            chunk = &rest[1..];
            self.fits(head, bytes_max)?;
            self.count += 1;
            if self.partial.is_empty() {
                each(self.count, whole(head))?;
            } else {
                self.partial.extend_from_slice(head);
                each(self.count, whole(&self.partial))?;
                self.partial.clear();
            }
        }
        self.fits(chunk, bytes_max)?;
        self.partial.extend_from_slice(chunk);
        Ok(())
    }

    /// The last line, if no end of line came behind it.
    pub fn finish(&mut self, each: impl FnOnce(u64, &[u8]) -> Result<(), ReadError>) -> Result<(), ReadError> {
        if self.partial.is_empty() {
            return Ok(());
        }
        self.count += 1;
        each(self.count, whole(&std::mem::take(&mut self.partial)))
    }

    /// The number of the line that comes next.
    pub fn next(&self) -> u64 {
        self.count + 1
    }

    fn fits(&self, more: &[u8], bytes_max: usize) -> Result<(), ReadError> {
        if self.partial.len() + more.len() <= bytes_max {
            return Ok(());
        }
        Err(ReadError::new(self.next(), bytes_max + 1, format!("the line has more than {bytes_max} bytes")))
    }
}

/// A line without the carriage return that some end it with.
fn whole(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
