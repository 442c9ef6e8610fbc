//! Times in buckets.

use std::array::from_fn;

use super::Counter;

/// The upper bounds of the buckets in microseconds; one more bucket has what takes longer.
pub(crate) const BOUNDS_MICROS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 60_000_000,
];

/// How many took how long: not summed up, the last for those beyond all bounds.
pub(crate) type Buckets = [u64; BOUNDS_MICROS.len() + 1];

/// How long things took, which one thread says.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [Counter; BOUNDS_MICROS.len() + 1],
    micros: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: from_fn(|_| Counter::default()), micros: Counter::default() }
    }
}

impl Histogram {
    /// So many took so long.
    pub(crate) fn observe(&self, micros: u64, times: u32) {
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].add(times.into());
        self.micros.add(micros.saturating_mul(times.into()));
    }

    pub(crate) fn buckets(&self) -> Buckets {
        from_fn(|bucket| self.buckets[bucket].get())
    }

    /// How long all took together, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.micros.get() as f64 / 1e6
    }
}

/// What was counted between two looks.
pub(crate) fn since(now: &Buckets, before: &Buckets) -> Buckets {
    from_fn(|bucket| now[bucket].wrapping_sub(before[bucket]))
}

/// The time in seconds within which this share of what was counted took place, as far as buckets tell: within a
/// bucket, evenly spread. `None`: nothing was counted. Beyond all bounds it is the last of them.
pub(crate) fn quantile(buckets: &Buckets, share: f64) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, bound) in buckets.iter().zip(BOUNDS_MICROS) {
        let (count, upper) = (*count as f64, bound as f64 / 1e6);
        if count > 0.0 && below + count >= rank {
            return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        (below, lower) = (below + count, upper);
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_in_the_bucket_whose_bound_they_do_not_exceed() {
        let histogram = Histogram::default();
        for (micros, times) in [(0, 1), (50, 2), (51, 4), (60_000_000, 8), (60_000_001, 16)] {
            histogram.observe(micros, times);
        }
        let buckets = histogram.buckets();
        assert_eq!((buckets[0], buckets[1]), (3, 4));
        assert_eq!((buckets[16], buckets[17]), (8, 16));
        assert!((histogram.seconds() - 1_440.000_320).abs() < 1e-9, "{}", histogram.seconds());
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_its_rank() {
        let mut buckets = Buckets::default();
        assert_eq!(quantile(&buckets, 0.5), None);
        buckets[4] = 100;
        let median = quantile(&buckets, 0.5).expect("something was counted");
        assert!((median - 0.000_75).abs() < 1e-9, "{median}");
        assert_eq!(quantile(&buckets, 1.0), Some(0.001));
        buckets[17] = 1_000;
        assert_eq!(quantile(&buckets, 0.99), Some(60.0));
    }
}
