//! What a file is that holds no weights, for messages: by its first bytes.

/// First bytes, where they stand, what they tell, and what to do.
const KINDS: [(&[u8], usize, &str); 9] = [
    (b"WEBP", 8, "a WebP picture"),
    (b"ftyp", 4, "a film, or a HEIF picture"),
    (b"BM", 0, "a BMP picture"),
    (b"II*\0", 0, "a TIFF picture"),
    (b"MM\0*", 0, "a TIFF picture"),
    (b"\x7fELF", 0, "a program"),
    (b"MZ", 0, "a program"),
    (b"SQLite format 3\0", 0, "a database"),
    (b"RIFF", 0, "a sound or a film"),
];
/// Letters of a text that are shown.
const SHOWN: usize = 40;

const WEIGHTS: &str = "Expected a file with the weights of a generator: PyTorch (.pt, .pth), safetensors or pickle";
const BESIDE: &str = "Open the file of weights beside it";

/// What a file is by its first bytes, as "this is a ..", and what to do; `None` if they tell nothing.
pub(super) fn describe(head: &[u8]) -> Option<(String, &'static str)> {
    if !head.is_empty() && head.iter().all(|&byte| byte == 0) {
        return Some(("this file begins with zeros: it was not written to the end".into(), "Fetch it again"));
    }
    if let Some((_, _, kind)) =
        KINDS.iter().find(|(sign, at, _)| head.get(*at..).is_some_and(|it| it.starts_with(sign)))
    {
        return Some((format!("this is {kind}"), WEIGHTS));
    }
    describe_text(text(head)?)
}

/// The first bytes as text, if they are. The last letter may be cut.
fn text(head: &[u8]) -> Option<&str> {
    let text = match str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if head.len() - error.valid_up_to() < 4 => str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let is_plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}');
    text.chars().all(is_plain).then_some(text.trim_start_matches('\u{feff}').trim())
}

fn describe_text(text: &str) -> Option<(String, &'static str)> {
    if text.starts_with(['{', '[']) && text.contains('"') {
        return Some(if text.contains("\"weight_map\"") || text.contains("\"total_size\"") {
            let advice = "Join the files that it names into one, with safetensors or PyTorch, and open that";
            ("this is the index of a model in several files".into(), advice)
        } else if text.contains("\"nbformat\"") || text.contains("\"cells\"") {
            ("this is a notebook, a program".into(), "Open the checkpoint that it writes")
        } else {
            ("this is a JSON text, such as the settings of a model".into(), BESIDE)
        });
    }
    let is_code = |line: &str| ["import ", "from ", "def ", "class ", "#!/"].iter().any(|word| line.starts_with(word));
    if text.lines().take(20).any(is_code) && text.lines().count() > 1 {
        return Some(("this is the text of a program".into(), "Open the checkpoint that it writes"));
    }
    let line: String = text.lines().next()?.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    Some((format!("this is a text that begins with {line:?}"), WEIGHTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_called_what_they_are() {
        for (head, expected) in [
            (&b"{\"metadata\": {\"total_size\": 1}, \"weight_map\": {}}"[..], "the index of a model in several files"),
            (b"{\"cells\": [], \"nbformat\": 4}", "a notebook"),
            (b"\xef\xbb\xbf{\"z_dim\": 128}", "a JSON text"),
            (b"# what it does\nimport torch\nprint(1)\n", "the text of a program"),
            (b"epoch,loss\n1,0.5\n", "a text that begins with \"epoch,loss\""),
            ("[00:01] \u{1b}[2Jloss 0,5 \u{e4}".as_bytes(), "a text that begins with \"[00:01] [2Jloss 0,5 \u{e4}\""),
            (&[0; 64], "was not written to the end"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP picture"),
            (b"\0\0\0\x18ftypmp42", "a film"),
        ] {
            let (found, advice) = describe(head).unwrap();
            assert!(found.contains(expected) && !advice.is_empty(), "{found}");
        }
        // A letter cut by the end of what was read is a text all the same.
        assert!(describe(&"loss \u{e4}".as_bytes()[..6]).is_some());
        assert_eq!(describe(b"\x01\x02\x03\xff\xfe"), None);
        assert_eq!(describe(b""), None);
    }
}
