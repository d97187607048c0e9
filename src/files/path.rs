//! What a path says without touching what it names: merely asking for a file on a share tells that computer who asks, and on
//! Windows hands over the user's hashed password.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a path that was found inside a file is not opened without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It leads to another computer.
    Network,
    /// It names something that is no file: a device, a pipe, a folder.
    NoFile,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::Network => "it leads to another computer on the network",
            Doubt::NoFile => "it is no regular file",
        })
    }
}

/// What speaks against opening a path from a file that a stranger may have written; `None` for a regular file of this
/// computer, and for one that is not there. Paths of every system are understood on every system.
pub fn doubt(path: &Path) -> Option<Doubt> {
    let text = path.to_string_lossy().replace('\\', "/");
    if is_remote(&text) {
        return Some(Doubt::Network);
    }
    if is_device(&text) {
        return Some(Doubt::NoFile);
    }
    path.metadata().is_ok_and(|facts| !facts.is_file()).then_some(Doubt::NoFile)
}

/// Places below which file systems of other computers appear by being asked for: automounted hosts, AFS, macOS.
const REMOTE_FOLDERS: [&str; 3] = ["net", "afs", "network"];

fn is_remote(text: &str) -> bool {
    let lower = text.to_lowercase();
    if let Some((scheme, rest)) = lower.split_once("://") {
        let is_scheme = scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
        // file:///x and file://localhost/x are of this computer, and named in no way that opens.
        return is_scheme && !(scheme == "file" && (rest.starts_with('/') || rest.starts_with("localhost/")));
    }
    for verbatim in ["//?/", "//./", "/??/"] {
        if let Some(rest) = lower.strip_prefix(verbatim) {
            let parts = parts(rest);
            return parts.first() == Some(&"unc") || parts.first() == Some(&"globalroot") && parts.contains(&"unc");
        }
    }
    if lower.starts_with("//") {
        return true;
    }
    let parts = parts(&lower);
    let is_absolute = lower.starts_with('/');
    let gvfs = parts.iter().any(|part| matches!(*part, "gvfs" | ".gvfs"));
    gvfs || is_absolute && parts.first().is_some_and(|first| REMOTE_FOLDERS.contains(first))
}

/// Devices of Windows: `\\.\COM1`, `\\?\pipe\..` and the names that are one in every folder.
fn is_device(text: &str) -> bool {
    let lower = text.to_lowercase();
    for verbatim in ["//?/", "//./", "/??/"] {
        if let Some(rest) = lower.strip_prefix(verbatim) {
            let is_drive = matches!(rest.as_bytes(), [b'a'..=b'z', b':', b'/', ..]);
            return verbatim == "//./" || !is_drive;
        }
    }
    let name = parts(&lower).last().map_or("", |name| *name);
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end();
    let numbered =
        |prefix| stem.strip_prefix(prefix).is_some_and(|rest: &str| matches!(rest.as_bytes(), [b'0'..=b'9']));
    cfg!(windows) && (matches!(stem, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt"))
}

/// The names of a path, with `..` taken back as far as there is something to take back.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

/// `C:\x` for `\\?\C:\x` and `\\server\x` for `\\?\UNC\server\x`, as people and other programs write them.
pub fn without_verbatim_prefix(path: PathBuf) -> PathBuf {
    let Some(text) = path.to_str() else { return path };
    match (text.strip_prefix(r"\\?\UNC\"), text.strip_prefix(r"\\?\")) {
        (Some(share), _) => PathBuf::from(format!(r"\\{share}")),
        (None, Some(local)) => PathBuf::from(local),
        (None, None) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_to_other_computers_are_doubted() {
        for path in [
            r"\\server\share\model.pt",
            r"\\server@SSL\DavWWWRoot\model.pt",
            r"\\192.0.2.1\share",
            r"\\?\UNC\server\share\model.pt",
            r"\\.\UNC\server\share\model.pt",
            r"\??\UNC\server\share\model.pt",
            r"\\?\GLOBALROOT\Device\Mup\..\UNC\server",
            "//server/share/model.pt",
            r"\/server/share/model.pt",
            r"/\server\share\model.pt",
            "smb://server/share/model.pt",
            "SMB://server/share/model.pt",
            "nfs://server/model.pt",
            "https://example.org/model.pt",
            "file://server/share/model.pt",
            "/net/server/model.pt",
            "/home/../net/server/model.pt",
            "/./net/server/model.pt",
            "/afs/example.org/model.pt",
            "/Network/Servers/server/model.pt",
            "/run/user/1000/gvfs/smb-share:server=server,share=x/model.pt",
            "/home/a/.gvfs/x/model.pt",
        ] {
            assert_eq!(doubt(Path::new(path)), Some(Doubt::Network), "{path}");
        }
    }

    #[test]
    fn files_of_this_computer_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.pt");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(doubt(&file), None);
        for path in [
            "missing.pt",
            "models/missing.pt",
            "/home/a/net/missing.pt",
            "/home/network/missing.pt",
            "/networks/missing.pt",
            r"C:\models\missing.pkl",
            r"\\?\C:\models\missing.pkl",
            "D:/models/missing.pkl",
            "C:/a/b:c.pt",
        ] {
            assert_eq!(doubt(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_file_is_doubted() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(doubt(folder.path()), Some(Doubt::NoFile));
        for path in [r"\\.\COM1", r"\\.\pipe\name", r"\\?\pipe\name", r"\\.\PhysicalDrive0", r"\??\pipe\name"] {
            assert_eq!(doubt(Path::new(path)), Some(Doubt::NoFile), "{path}");
        }
        #[cfg(unix)]
        assert_eq!(doubt(Path::new("/dev/null")), Some(Doubt::NoFile));
    }

    #[test]
    fn verbatim_prefixes_are_taken_off() {
        let plain = |path: &str| without_verbatim_prefix(path.into());
        assert_eq!(plain(r"\\?\C:\a b\c"), PathBuf::from(r"C:\a b\c"));
        assert_eq!(plain(r"\\?\UNC\server\share"), PathBuf::from(r"\\server\share"));
        assert_eq!(plain("/home/a"), PathBuf::from("/home/a"));
    }
}
