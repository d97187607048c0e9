//! Where files are kept.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use directories::ProjectDirs;

/// Names one folder for everything that is kept, in place of those of the system.
pub const HOME_VARIABLE: &str = "SEFA_STUDIO_HOME";

/// The three folders of a user. They need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Libraries, sessions, the log: what cannot be made again.
    pub data: PathBuf,
    /// Preferences.
    pub config: PathBuf,
    /// Thumbnails and the like: safe to delete.
    pub cache: PathBuf,
}

impl Folders {
    /// Those of the present user: below [`HOME_VARIABLE`] if it is set, else where the system has them (Linux:
    /// `XDG_DATA_HOME`, `XDG_CONFIG_HOME`, `XDG_CACHE_HOME`). `None` for a user without a home.
    pub fn of_user() -> Option<Folders> {
        let home = std::env::var_os(HOME_VARIABLE).filter(|home| !home.is_empty());
        if let Some(home) = home {
            return Some(Folders::below(&std::path::absolute(home).ok()?));
        }
        let folders = ProjectDirs::from("", "", "sefa-studio")?;
        let [data, config, cache] =
            [folders.data_dir(), folders.config_dir(), folders.cache_dir()].map(Path::to_path_buf);
        Some(Folders { data, config, cache })
    }

    /// All three below one folder.
    pub fn below(home: &Path) -> Folders {
        let [data, config, cache] = ["data", "config", "cache"].map(|name| home.join(name));
        Folders { data, config, cache }
    }

    pub fn sessions(&self) -> PathBuf {
        self.data.join("sessions")
    }

    /// Small pictures of sessions.
    pub fn thumbnails(&self) -> PathBuf {
        self.cache.join("thumbnails")
    }

    /// What users know about the directions of models (`library`).
    pub fn libraries(&self) -> PathBuf {
        self.data.join("libraries")
    }

    pub fn log(&self) -> PathBuf {
        self.data.join("log")
    }

    pub fn preferences(&self) -> PathBuf {
        self.config.join("preferences.json")
    }
}

/// The present moment as a part of file names, UTC: `20260131-235959`.
pub(super) fn stamp() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    stamp_of(seconds)
}

/// Seconds since 1970 as date and time (Howard Hinnant's `civil_from_days`).
fn stamp_of(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March, so that the day that leap years add comes last.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        assert_eq!(stamp_of(0), "19700101-000000");
        assert_eq!(stamp_of(951_782_399), "20000228-235959");
        assert_eq!(stamp_of(951_782_400), "20000229-000000");
        assert_eq!(stamp_of(1_767_225_599), "20251231-235959");
        assert_eq!(stamp_of(4_107_542_400), "21000301-000000", "2100 is no leap year");
    }

    #[test]
    fn one_folder_holds_all_three() {
        let folders = Folders::below(Path::new("home"));
        let all = [&folders.data, &folders.config, &folders.cache];
        assert_eq!(all, ["home/data", "home/config", "home/cache"].map(Path::new));
    }
}
