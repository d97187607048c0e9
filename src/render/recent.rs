//! What was used last, within so many bytes.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key; the least recently used ones go when all together have more than so many bytes. The newest value stays
/// however large it is.
pub(super) struct Recent<K, V> {
    entries: HashMap<K, Entry<V>>,
    limit: u64,
    bytes_of: fn(&V) -> u64,
    /// Counts uses.
    clock: u64,
}

struct Entry<V> {
    value: V,
    last_used: u64,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(limit: u64, bytes_of: fn(&V) -> u64) -> Self {
        Recent { entries: HashMap::new(), limit, bytes_of, clock: 0 }
    }

    /// Counts as a use.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.last_used = self.clock;
        Some(&mut entry.value)
    }

    /// Counts as no use.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.clock += 1;
        self.entries.insert(key, Entry { value, last_used: self.clock });
        self.trim(|_| false);
    }

    /// The value of `key`, made if there is none. Counts as a use; [`Recent::trim`] is for when it has grown.
    pub(super) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.clock += 1;
        let last_used = self.clock;
        let entry = self.entries.entry(key).or_insert_with(|| Entry { value: make(), last_used });
        entry.last_used = last_used;
        &mut entry.value
    }

    /// All values, in no order. No use.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|entry| &entry.value)
    }

    /// Bytes of all values.
    pub(super) fn bytes(&self) -> u64 {
        self.values().map(self.bytes_of).sum()
    }

    /// Drops the least recently used values until the rest is within the limit; the newest stays, and those that are `kept`.
    pub(super) fn trim(&mut self, kept: impl Fn(&K) -> bool) {
        let mut bytes = self.bytes();
        let newest = self.entries.values().map(|entry| entry.last_used).max().unwrap_or(0);
        while bytes > self.limit {
            let others = self.entries.iter().filter(|(key, entry)| entry.last_used < newest && !kept(key));
            let Some((key, _)) = others.min_by_key(|(_, entry)| entry.last_used) else { return };
            let key = key.clone();
            if let Some(entry) = self.entries.remove(&key) {
                bytes -= (self.bytes_of)(&entry.value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_bytes(limit: u64) -> Recent<u8, Vec<u8>> {
        Recent::new(limit, |value| value.len() as u64)
    }

    fn keys(recent: &Recent<u8, Vec<u8>>) -> Vec<u8> {
        let mut keys: Vec<u8> = recent.entries.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_least_recently_used_values_go_first() {
        let mut recent = of_bytes(30);
        (1..=3).for_each(|key| recent.insert(key, vec![key; 10]));
        assert_eq!((keys(&recent), recent.bytes()), (vec![1, 2, 3], 30));
        assert_eq!(recent.get(&1), Some(&mut vec![1; 10]));
        recent.insert(4, vec![4; 11]);
        assert_eq!((keys(&recent), recent.bytes()), (vec![1, 4], 21), "3 and 2 were used before 1");
        recent.insert(1, vec![5; 2]);
        assert_eq!(recent.peek(&1), Some(&vec![5; 2]), "a value replaces that of its key");
        assert_eq!(recent.bytes(), 13);
    }

    #[test]
    fn one_value_beyond_the_limit_stays_alone() {
        let mut recent = of_bytes(30);
        recent.insert(1, vec![0; 5]);
        recent.insert(2, vec![0; 31]);
        assert_eq!(keys(&recent), [2]);
        recent.insert(3, vec![0; 1]);
        assert_eq!(keys(&recent), [3]);
    }

    #[test]
    fn values_that_grow_are_trimmed_and_some_are_kept() {
        let mut recent = of_bytes(30);
        (1..=3).for_each(|key| recent.insert(key, vec![0; 8]));
        recent.get_or_insert_with(3, Vec::new).resize(20, 0);
        recent.trim(|&key| key == 1);
        assert_eq!(keys(&recent), [1, 3]);
        recent.get_or_insert_with(3, Vec::new).resize(100, 0);
        recent.trim(|&key| key == 1);
        assert_eq!(keys(&recent), [1, 3], "nothing else can go");
    }
}
