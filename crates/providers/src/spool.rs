//! An answer that is too long for memory: kept in a file without a name, read once it is whole.
//!
//! The file goes with the last handle of it, whatever ends the process. Whoever reads it sees text (bytes that are no UTF-8
//! are replaced) and is stopped where a single piece of it is longer than any honest one.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom},
};

use tokio::io::{AsyncWriteExt as _, BufWriter};

/// What is written at once.
const WRITE: usize = 256 * 1_024;
/// The longest record of a list, and the longest text beside it.
const LONGEST_PIECE: usize = 1_024 * 1_024;
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// A file that is being written.
pub(crate) struct SpoolWriter {
    file: BufWriter<tokio::fs::File>,
    bytes: usize,
}

impl SpoolWriter {
    pub(crate) async fn create() -> io::Result<Self> {
        let file = tokio::task::spawn_blocking(tempfile::tempfile).await.map_err(io::Error::other)??;
        Ok(Self { file: BufWriter::with_capacity(WRITE, tokio::fs::File::from_std(file)), bytes: 0 })
    }

    pub(crate) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.bytes += piece.len();
        self.file.write_all(piece).await
    }

    /// How much was written.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// The whole of it, to be read.
    pub(crate) async fn finish(mut self) -> io::Result<Spool> {
        self.file.flush().await?;
        Ok(Spool { file: self.file.into_inner().into_std().await })
    }
}

/// A whole answer in a file. Reading it blocks.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
}

impl Spool {
    /// From its beginning. `left` is what may still be read before the reader says that a piece is done.
    pub(crate) fn read<'l>(&mut self, left: &'l Left) -> io::Result<Text<'l, impl BufRead>> {
        self.file.seek(SeekFrom::Start(0))?;
        left.renew();
        Ok(Text::new(BufReader::with_capacity(WRITE, &mut self.file), left))
    }

    /// The bytes themselves, to be read from their beginning.
    pub(crate) fn into_file(mut self) -> io::Result<File> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(self.file)
    }

    /// How it begins, for people.
    pub(crate) fn beginning(&mut self, most: u64) -> io::Result<String> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut beginning = Vec::new();
        (&mut self.file).take(most).read_to_end(&mut beginning)?;
        Ok(String::from_utf8_lossy(&beginning).into_owned())
    }
}

/// How much of a piece may still come.
#[derive(Debug)]
pub(crate) struct Left(Cell<usize>);

impl Left {
    pub(crate) fn new() -> Self {
        Self(Cell::new(LONGEST_PIECE))
    }

    /// A piece is done.
    pub(crate) fn renew(&self) {
        self.0.set(LONGEST_PIECE);
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, "a record of more than a megabyte");
        self.0.set(self.0.get().checked_sub(bytes).ok_or_else(too_long)?);
        Ok(())
    }
}

/// Bytes as UTF-8.
pub(crate) struct Text<'l, R> {
    bytes: R,
    left: &'l Left,
    /// Begun characters and replacements that are not handed out yet.
    held: Vec<u8>,
    handed: usize,
}

impl<'l, R: BufRead> Text<'l, R> {
    pub(crate) fn new(bytes: R, left: &'l Left) -> Self {
        Self { bytes, left, held: Vec::new(), handed: 0 }
    }

    /// Puts the next character, or its replacement, where it is handed out from: the slow way around an odd byte.
    fn hold_next(&mut self) -> io::Result<()> {
        self.held.clear();
        self.handed = 0;
        while let Some(&byte) = self.bytes.fill_buf()?.first() {
            self.held.push(byte);
            match std::str::from_utf8(&self.held) {
                Ok(_) => {
                    self.bytes.consume(1);
                    return Ok(());
                }
                // Nothing can make it a character any more. The byte that showed that may begin the next one.
                Err(error) if error.error_len().is_some() => {
                    if self.held.len() == 1 {
                        self.bytes.consume(1);
                    }
                    break;
                }
                Err(_) => self.bytes.consume(1),
            }
        }
        if !self.held.is_empty() {
            self.held = REPLACEMENT.to_vec();
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Text<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.handed == self.held.len() {
            let ready = self.bytes.fill_buf()?;
            let ready = &ready[..ready.len().min(to.len())];
            let valid = match std::str::from_utf8(ready) {
                Ok(_) => ready.len(),
                Err(error) => error.valid_up_to(),
            };
            if valid > 0 {
                to[..valid].copy_from_slice(&ready[..valid]);
                self.bytes.consume(valid);
                self.left.take(valid)?;
                return Ok(valid);
            }
            self.hold_next()?;
        }
        let ready = &self.held[self.handed..];
        let count = ready.len().min(to.len());
        to[..count].copy_from_slice(&ready[..count]);
        self.handed += count;
        self.left.take(count)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], buffer: usize, at_once: usize) -> String {
        let left = Left::new();
        let mut text = Text::new(BufReader::with_capacity(buffer, bytes), &left);
        let (mut whole, mut piece) = (Vec::new(), vec![0; at_once]);
        loop {
            match text.read(&mut piece).unwrap() {
                0 => return String::from_utf8(whole).unwrap(),
                count => whole.extend_from_slice(&piece[..count]),
            }
        }
    }

    #[test]
    fn characters_come_whole_and_odd_bytes_are_replaced_wherever_the_pieces_end() {
        for bytes in [
            "aé😀".as_bytes(),
            b"a\xffb",
            b"\xf0\x9f\x98",
            b"\xf0\x9f\x98a\xc3",
            b"\xc3\xc3\xa9\x80",
            b"\xed\xa0\x80x",
            b"",
        ] {
            let expected = String::from_utf8_lossy(bytes);
            for (buffer, at_once) in [(1, 1), (2, 3), (3, 1), (64, 64), (64, 1)] {
                assert_eq!(text(bytes, buffer, at_once), expected, "{bytes:?} by {buffer} and {at_once}");
            }
        }
    }

    #[test]
    fn a_piece_without_end_is_stopped() {
        let left = Left::new();
        let mut text = Text::new(BufReader::new(io::repeat(b'x')), &left);
        let error = io::copy(&mut text, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        left.renew();
        assert_eq!(text.read(&mut [0; 9]).unwrap(), 9);
    }

    #[tokio::test]
    async fn what_was_written_is_read_as_often_as_wanted() {
        let mut writer = SpoolWriter::create().await.unwrap();
        writer.write(b"one ").await.unwrap();
        writer.write(b"two").await.unwrap();
        assert_eq!(writer.len(), 7);
        let mut spool = writer.finish().await.unwrap();
        for _ in 0..2 {
            let left = Left::new();
            assert_eq!(io::read_to_string(spool.read(&left).unwrap()).unwrap(), "one two");
        }
        assert_eq!(spool.beginning(3).unwrap(), "one");
    }
}
