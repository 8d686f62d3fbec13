//! The stages in order, sequence, journal, commit, execute, and the Replayer.
