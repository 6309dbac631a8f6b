//! Echo and datagrams: ours with the handout's own programs, in every pairing.
