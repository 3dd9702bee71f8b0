//! How much one user may bring about, unless it is an administrator: names are given once, and what others are given is read
//! with their rights.

/// How many namespaces a user may own.
pub const MOST_NAMESPACES: i64 = 100;

/// How many robots a user may have made, those that were removed included: their names are not given again.
pub const MOST_ROBOTS: i64 = 100;

/// How many roles a user may have given to one user, robot or team.
pub const MOST_ROLES: i64 = 200;
