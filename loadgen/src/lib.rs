//! The load harness: accounts, skew, mixes, histograms and its own model.
