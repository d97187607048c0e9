//! What the program keeps between runs: preferences, libraries of directions, sessions, thumbnails, the log.
//!
//! Every kind is a file of its own with a version ([`read`], [`write`]). A file that cannot be read is set aside under
//! another name and said, one of a newer version is left alone: nothing is overwritten that was not understood. Files that
//! several windows change are merged with what the others wrote ([`SharedFile`]).

mod folders;
mod lenient;
mod lock;
pub mod log;
mod merge;
mod session;
mod shared;
mod versioned;
mod writer;

pub use folders::{Folders, HOME_VARIABLE};
pub use lock::Lock;
pub use session::{Closed, MOST_SESSIONS, Session, SessionFile, Sessions};
pub use shared::SharedFile;
pub use versioned::{Damage, StoreError, read, write};
pub use writer::Writer;
