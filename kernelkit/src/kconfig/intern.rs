//! Symbol names: each spelling once, found by an open-addressed table.

use super::model::SymbolId;

/// FNV-1a, 32 bits: fast on short names, and the hash that orders `auto.conf`.
pub(super) fn fnv(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Names by [`SymbolId`], in the order they were first mentioned.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// End of each name in `bytes`; it starts where the one before ends.
    ends: Vec<u32>,
    hashes: Vec<u32>,
    /// Which names were written in quotes: another symbol than the bare word.
    quoted: Vec<bool>,
    /// Hash and symbol + 1, or 0 where free; the length is a power of two.
    table: Vec<(u32, u32)>,
}

impl Names {
    /// Everything but the table: bytes, ends, hashes, quotes.
    pub(super) fn parts(&self) -> (&[u8], &[u32], &[u32], &[bool]) {
        (&self.bytes, &self.ends, &self.hashes, &self.quoted)
    }

    /// The names of [`parts`](Self::parts), to be looked up and added to.
    pub(super) fn of_parts(
        bytes: Vec<u8>,
        ends: Vec<u32>,
        hashes: Vec<u32>,
        quoted: Vec<bool>,
    ) -> Self {
        let length = (2 * (ends.len() + 1)).next_power_of_two().max(1 << 12);
        let mut table = vec![(0, 0); length];
        let mut start = 0;
        for (symbol, (end, hash)) in ends.iter().zip(&hashes).enumerate() {
            // What has no name is found by none.
            if *end > start || quoted.get(symbol) == Some(&true) {
                put(&mut table, (*hash, symbol as u32 + 1));
            }
            start = *end;
        }
        Names {
            bytes,
            ends,
            hashes,
            quoted,
            table,
        }
    }

    pub(super) fn get(&self, symbol: SymbolId) -> &[u8] {
        let start = match symbol {
            0 => 0,
            _ => self.ends[symbol as usize - 1],
        };
        &self.bytes[start as usize..self.ends[symbol as usize] as usize]
    }

    pub(super) fn hash(&self, symbol: SymbolId) -> u32 {
        self.hashes[symbol as usize]
    }

    pub(super) fn is_quoted(&self, symbol: SymbolId) -> bool {
        self.quoted[symbol as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn slot(&self, name: &[u8], quoted: bool, hash: u32) -> Result<SymbolId, usize> {
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.table[slot] {
                (_, 0) => return Err(slot),
                (entry_hash, entry) => {
                    let symbol = entry - 1;
                    if entry_hash == hash
                        && self.quoted[symbol as usize] == quoted
                        && self.get(symbol) == name
                    {
                        return Ok(symbol);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The symbol of that spelling, if it was ever mentioned.
    pub(super) fn find(&self, name: &[u8], quoted: bool) -> Option<SymbolId> {
        if self.table.is_empty() {
            return None;
        }
        self.slot(name, quoted, fnv(name)).ok()
    }

    /// The symbol of that spelling and whether it is new.
    pub(super) fn intern(&mut self, name: &[u8], quoted: bool) -> (SymbolId, bool) {
        if self.table.len() < 2 * (self.ends.len() + 1) {
            self.grow();
        }
        let hash = fnv(name);
        match self.slot(name, quoted, hash) {
            Ok(symbol) => (symbol, false),
            Err(slot) => {
                let symbol = self.push(name, quoted, hash);
                self.table[slot] = (hash, symbol + 1);
                (symbol, true)
            }
        }
    }

    /// A symbol that no name finds: a choice.
    pub(super) fn anonymous(&mut self) -> SymbolId {
        self.push(b"", false, 0)
    }

    fn push(&mut self, name: &[u8], quoted: bool, hash: u32) -> SymbolId {
        let symbol = self.ends.len() as SymbolId;
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len() as u32);
        self.hashes.push(hash);
        self.quoted.push(quoted);
        symbol
    }

    fn grow(&mut self) {
        let length = (self.table.len() * 2).max(1 << 12);
        let old = std::mem::replace(&mut self.table, vec![(0, 0); length]);
        for entry in old.into_iter().filter(|(_, symbol)| *symbol != 0) {
            put(&mut self.table, entry);
        }
    }
}

/// Puts an entry into the first free slot.
fn put(table: &mut [(u32, u32)], entry: (u32, u32)) {
    let mask = table.len() - 1;
    let mut slot = entry.0 as usize & mask;
    while table[slot].1 != 0 {
        slot = (slot + 1) & mask;
    }
    table[slot] = entry;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_and_quoted_words_are_different_symbols() {
        let mut names = Names::default();
        let (bare, _) = names.intern(b"A", false);
        let (quoted, new) = names.intern(b"A", true);
        assert!(new && bare != quoted);
        assert_eq!(names.intern(b"A", false), (bare, false));
        assert_eq!(names.find(b"A", true), Some(quoted));
        assert_eq!(names.find(b"B", false), None);
    }

    #[test]
    fn growing_loses_no_name() {
        let mut names = Names::default();
        for number in 0..10_000 {
            names.intern(format!("S{number}").as_bytes(), false);
        }
        for number in 0..10_000 {
            let name = format!("S{number}");
            assert_eq!(names.find(name.as_bytes(), false), Some(number));
        }
    }
}
