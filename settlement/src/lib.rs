//! Cuts to SQL, exactly once.
