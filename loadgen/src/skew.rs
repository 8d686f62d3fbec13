//! Which accounts pay and are paid: uniformly, by Zipf's law, or one of them always.

use crate::random::Random;

/// How load is spread over the accounts.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Skew {
    /// Every account alike.
    Uniform,
    /// The k-th account proportionally to 1/k^0.99, as in YCSB.
    Zipfian,
    /// One account is a party to every payment.
    OneHot,
}

/// Draws places of accounts.
#[derive(Clone, Debug)]
pub struct Chooser {
    skew: Skew,
    accounts: u32,
    zipf: Option<Zipf>,
}

impl Chooser {
    /// Over `accounts` accounts.
    ///
    /// # Panics
    ///
    /// With fewer than two accounts there is nobody to pay.
    #[must_use]
    pub fn new(skew: Skew, accounts: u32) -> Self {
        assert!(accounts >= 2, "a payment needs two accounts");
        let zipf = (skew == Skew::Zipfian).then(|| Zipf::new(accounts));
        Self { skew, accounts, zipf }
    }

    /// A debtor and another account to credit.
    pub fn pair(&self, random: &mut Random) -> (u32, u32) {
        let first = self.one(random);
        if self.skew == Skew::OneHot {
            let other = 1 + uniform(random, self.accounts - 1);
            return if random.next() & 1 == 0 { (0, other) } else { (other, 0) };
        }
        loop {
            let second = self.one(random);
            if second != first {
                return (first, second);
            }
        }
    }

    fn one(&self, random: &mut Random) -> u32 {
        match &self.zipf {
            Some(zipf) => zipf.draw(random),
            None => uniform(random, self.accounts),
        }
    }
}

fn uniform(random: &mut Random, bound: u32) -> u32 {
    u32::try_from(random.below(u64::from(bound))).unwrap_or(0)
}

/// Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994).
#[derive(Clone, Debug)]
struct Zipf {
    count: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

const THETA: f64 = 0.99;

impl Zipf {
    fn new(count: u32) -> Self {
        let zeta: f64 = (1..=count).map(|rank| f64::from(rank).powf(-THETA)).sum();
        let zeta_two = 1.0 + 2_f64.powf(-THETA);
        let count = f64::from(count);
        let eta = (1.0 - (2.0 / count).powf(1.0 - THETA)) / (1.0 - zeta_two / zeta);
        Self { count, zeta, alpha: 1.0 / (1.0 - THETA), eta }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(THETA) {
            return 1;
        }
        let rank = self.count * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (rank as u32).min(self.count as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_accounts_inside_the_range() {
        for skew in [Skew::Uniform, Skew::Zipfian, Skew::OneHot] {
            let chooser = Chooser::new(skew, 100);
            let mut random = Random::new(1);
            for _ in 0..10_000 {
                let (debit, credit) = chooser.pair(&mut random);
                assert!(debit != credit && debit < 100 && credit < 100);
            }
        }
    }

    #[test]
    fn zipf_prefers_the_first_and_hot_is_always_there() {
        let mut random = Random::new(2);
        let chooser = Chooser::new(Skew::Zipfian, 1_000);
        let first = (0..10_000).filter(|_| chooser.one(&mut random) == 0).count();
        assert!((1_000..2_000).contains(&first), "{first} of 10000, expected about 1300");
        let hot = Chooser::new(Skew::OneHot, 1_000);
        let pairs: Vec<_> = (0..100).map(|_| hot.pair(&mut random)).collect();
        assert!(pairs.iter().all(|&(debit, credit)| debit == 0 || credit == 0));
    }
}
