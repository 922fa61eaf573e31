//! Chunks of an HTTP/1.1 body (RFC 9112 section 7.1).

use anyhow::{Context as _, bail};

/// The first chunk in `input` and how many bytes it takes there; `None` if it is not all there. The last chunk is empty.
pub(crate) fn next(input: &[u8]) -> anyhow::Result<Option<(&[u8], usize)>> {
    let Some(line) = memchr::memchr(b'\n', input) else {
        if input.len() > 64 {
            bail!("a chunk has no size");
        }
        return Ok(None);
    };
    let digits = input[..line].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = std::str::from_utf8(&input[..digits])?;
    let size = usize::from_str_radix(size, 16).context("a chunk has no size")?;
    let begin = line + 1;
    let whole = begin.checked_add(size).and_then(|end| end.checked_add(2)).context("a chunk is too large")?;
    if input.len() < whole {
        return Ok(None);
    }
    if &input[whole - 2..whole] != b"\r\n" {
        bail!("a chunk is longer than its size");
    }
    Ok(Some((&input[begin..whole - 2], whole)))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn chunks_follow_each_other() {
        let input = b"5\r\nhello\r\nA;ext=1\r\n0123456789\r\n0\r\n\r\n";
        let (first, taken) = next(input).unwrap().unwrap();
        assert_eq!(first, b"hello");
        let (second, more) = next(&input[taken..]).unwrap().unwrap();
        assert_eq!(second, b"0123456789");
        assert_eq!(next(&input[taken + more..]).unwrap().unwrap(), (&b""[..], 5));
    }

    #[test]
    fn a_chunk_in_pieces_waits_for_the_rest() {
        let input = b"5\r\nhello\r\n";
        for end in 0..input.len() {
            assert_eq!(next(&input[..end]).unwrap(), None, "{end}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        assert!(next(b"x\r\nhello\r\n").is_err());
        assert!(next(b"4\r\nhello\r\n").is_err());
        assert!(next(b"ffffffffffffffff\r\n").is_err());
        assert!(next(&[b'1'; 100]).is_err());
    }
}
