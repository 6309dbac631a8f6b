//! `senda lab api`: a guided tour.
