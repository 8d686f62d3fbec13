//! The image digest: BLAKE3 over every row in canonical order, which proves that two states are
//! the same.
//!
//! Caches, indexes, spare memory and what only concerns cuts are not part of it. The order of rows
//! is that of their keys, never that of a table.

use alloc::vec::Vec;

use protocol::parameter::Parameter;

use crate::accounts::bits;
use crate::engine::Engine;

/// Bytes that are hashed at once: the hash is several times faster over many than over few.
const BLOCK_BYTES: usize = 1 << 16;

/// Feeds numbers to the hash, sections being told apart by a tag and their length.
struct Image {
    hasher: blake3::Hasher,
    /// Not hashed yet.
    block: Vec<u8>,
}

impl Image {
    fn new() -> Self {
        let hasher = blake3::Hasher::new_derive_key("bezant engine image v1");
        Self { hasher, block: Vec::with_capacity(BLOCK_BYTES) }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.block.len() + bytes.len() > BLOCK_BYTES {
            self.hasher.update(&self.block);
            self.block.clear();
        }
        self.block.extend_from_slice(bytes);
    }

    fn finish(mut self) -> [u8; 32] {
        *self.hasher.update(&self.block).finalize().as_bytes()
    }

    fn section(&mut self, tag: u64, rows: usize) {
        self.word(u128::from(tag));
        self.word(rows as u128);
    }

    fn word(&mut self, word: u128) {
        self.bytes(&word.to_le_bytes());
    }

    fn words(&mut self, words: impl IntoIterator<Item = u128>) {
        for word in words {
            self.word(word);
        }
    }
}

impl Engine {
    /// Digest of the whole state.
    pub fn image_digest(&self) -> [u8; 32] {
        let mut image = Image::new();
        image.bytes(&self.genesis.encode());
        let halted = u128::from(self.mint_halted);
        image.words([
            u128::from(self.executed),
            u128::from(self.clock.timestamp_ns),
            u128::from_le_bytes(self.run_digest()),
            halted << 1 | u128::from(self.money_moved),
            u128::from(self.ids.floor_ms()),
            u128::from(self.keys.forgotten_through()),
        ]);
        self.image_configuration(&mut image);
        self.image_assets(&mut image);
        self.image_owners(&mut image);
        self.image_accounts(&mut image);
        self.image_holds(&mut image);
        self.image_velocity(&mut image);
        self.image_ids(&mut image);
        self.image_keys(&mut image);
        image.finish()
    }

    fn image_configuration(&self, image: &mut Image) {
        image.section(1, Parameter::ALL.len());
        image.words(Parameter::ALL.map(|parameter| self.configuration.value(parameter)));
        let changes = self.configuration.changes();
        image.section(2, changes.len());
        for change in changes {
            image.words([
                u128::from(change.effective_at_ms),
                u128::from(change.sequence),
                u128::from(change.parameter.number()),
                change.value,
            ]);
        }
    }

    fn image_assets(&self, image: &mut Image) {
        let mut assets: Vec<_> = self.assets.iter().collect();
        assets.sort_unstable_by_key(|asset| asset.id);
        image.section(3, assets.len());
        for asset in assets {
            let sums = &asset.sums;
            image.words([u128::from(asset.id), u128::from(asset.scale)]);
            image.section(4, asset.name.len());
            image.bytes(asset.name.as_bytes());
            image.words([
                sums.issued.high,
                sums.issued.low,
                sums.destroyed.high,
                sums.destroyed.low,
                sums.liquid.cast_unsigned(),
                sums.held,
                sums.open_holds,
                sums.credit_granted,
                sums.credit_used,
            ]);
        }
    }

    fn image_owners(&self, image: &mut Image) {
        image.section(5, self.hosts.len());
        for host in self.hosts.iter() {
            let window = u128::from(host.window);
            image.words([host.principal, host.debit_limit, host.used, window]);
        }
        let owners = self.owners.iter();
        let mut owners: Vec<_> =
            owners.map(|(number, owner)| (self.owner_id(owner), number)).collect();
        owners.sort_unstable();
        image.section(6, owners.len());
        for (id, number) in owners {
            let owner = self.owners.row(number);
            let facts = u128::from(owner.host) << 1 | u128::from(owner.agent_only);
            image.words([id, self.owners.pending_host(number), facts]);
        }
    }

    fn image_accounts(&self, image: &mut Image) {
        let asset = |place| self.assets.row(place).id;
        // Keys are sorted, not rows: a comparison then needs no other memory.
        let keys = (0_u32..).zip(self.accounts.iter());
        let mut keys: Vec<_> =
            keys.map(|(number, (hot, _))| (hot.owner, asset(hot.asset), number)).collect();
        keys.sort_unstable();
        image.section(7, keys.len());
        for (_, _, number) in keys {
            let (hot, cold) = (self.accounts.hot(number), self.accounts.cold(number));
            let flags = u128::from(hot.flags & bits::SHOWN);
            image.words([
                hot.owner,
                u128::from(asset(hot.asset)),
                hot.liquid.cast_unsigned(),
                cold.held,
                cold.minimum,
                cold.credit_limit,
                flags << 64 | u128::from(hot.sequence),
                u128::from(cold.open_items) << 64 | u128::from(cold.holds),
            ]);
        }
    }

    fn image_holds(&self, image: &mut Image) {
        let account = |number: u32| {
            let hot = self.accounts.hot(number);
            (hot.owner, self.assets.row(hot.asset).id)
        };
        let mut holds: Vec<_> = self.holds.iter().collect();
        holds.sort_unstable_by_key(|hold| (account(hold.debtor), hold.id));
        image.section(8, holds.len());
        for hold in holds {
            let (debtor, asset) = account(hold.debtor);
            image.words([
                debtor,
                u128::from(asset),
                hold.id,
                account(hold.creditor).0,
                hold.amount,
                hold.left,
                u128::from(hold.expiry_ns),
                u128::from(hold.sequence),
                u128::from(hold.rate) << 1 | u128::from(hold.keep),
            ]);
        }
    }

    fn image_velocity(&self, image: &mut Image) {
        image.section(9, self.velocity.iter().count());
        for (place, debtor, creditor, window, count) in self.velocity.iter() {
            let (debtor, creditor) = (self.accounts.hot(debtor), self.accounts.hot(creditor));
            image.words([
                u128::from(place),
                debtor.owner,
                creditor.owner,
                u128::from(self.assets.row(debtor.asset).id),
                u128::from(window),
                u128::from(count),
            ]);
        }
    }

    fn image_ids(&self, image: &mut Image) {
        image.section(10, self.ids.len());
        let mut rows = Vec::new();
        // Tables follow the time in the ids, so that each is sorted by itself.
        for table in self.ids.tables() {
            rows.clear();
            rows.extend(table.map(crate::ids::Row::words));
            rows.sort_unstable();
            for row in &rows {
                image.words(row.map(u128::from));
            }
        }
    }

    fn image_keys(&self, image: &mut Image) {
        image.section(11, self.keys.len());
        for row in self.keys.iter() {
            image.words(row.words());
        }
    }
}
