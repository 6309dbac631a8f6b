//! A vehicle on a plane around its home: position, speed and heading move together.

use std::f64::consts::TAU;

use super::random::{Generator, between, normal, uniform};

/// Metres in a degree of latitude.
const METRES_PER_DEGREE: f64 = 111_320.0;
/// Speed forgets itself within this time: from one traffic light to the next.
const SPEED_RELAXATION_S: f64 = 20.0;
/// Longest step that is taken in one straight line.
const STEP_S: f64 = 5.0;
/// Most steps for one sample; after a longer gap the steps grow instead.
const STEPS_MAX: f64 = 32.0;

/// Where a vehicle drives, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Route {
    /// Latitude of its home, degrees, -80 to 80.
    pub latitude: f64,
    /// Longitude of its home, degrees, -180 to 180.
    pub longitude: f64,
    /// It turns back at this distance from home, metres.
    pub radius_m: f64,
    /// Mean speed, m/s.
    pub speed: f64,
    /// Standard deviation of the speed, m/s. Below 0 it stands still.
    pub speed_deviation: f64,
    /// Change of heading in one second (standard deviation), degrees; it grows with √time.
    pub turn: f64,
}

/// What a receiver reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fix {
    /// Degrees.
    pub latitude: f64,
    /// Degrees.
    pub longitude: f64,
    /// m/s.
    pub speed: f64,
    /// Degrees clockwise from north, 0 to 360.
    pub heading: f64,
    /// Metres driven since the start.
    pub distance: f64,
}

/// One vehicle on its way.
#[derive(Clone, Debug)]
pub struct Tracker {
    rng: Generator,
    at_us: i64,
    east_m: f64,
    north_m: f64,
    /// May be below 0 for a while; then it stands.
    speed: f64,
    heading_rad: f64,
    distance_m: f64,
}

impl Tracker {
    /// Starts somewhere within half the radius from home.
    pub fn new(route: &Route, seed: u64, t_us: i64) -> Self {
        let mut rng = crate::seed::generator(seed);
        let (distance, bearing) =
            (route.radius_m / 2.0 * uniform(&mut rng).sqrt(), between(&mut rng, 0.0, TAU));
        let speed = route.speed + route.speed_deviation * normal(&mut rng);
        let heading_rad = between(&mut rng, 0.0, TAU);
        let (east_m, north_m) = (distance * bearing.sin(), distance * bearing.cos());
        Self { rng, at_us: t_us, east_m, north_m, speed, heading_rad, distance_m: 0.0 }
    }

    /// Drives until `t_us`. An earlier moment than before leaves it where it is.
    pub fn sample(&mut self, route: &Route, t_us: i64) -> Fix {
        let span_s = super::seconds_between(self.at_us, t_us);
        self.at_us = self.at_us.max(t_us);
        let steps = (span_s / STEP_S).ceil().min(STEPS_MAX);
        let mut done = 0.0;
        while done < steps {
            self.drive(route, span_s / steps);
            done += 1.0;
        }
        self.fix(route)
    }

    fn drive(&mut self, route: &Route, step_s: f64) {
        let keep = (-step_s / SPEED_RELAXATION_S).exp();
        let fresh = route.speed_deviation * (1.0 - keep * keep).sqrt();
        self.speed =
            route.speed + (self.speed - route.speed) * keep + fresh * normal(&mut self.rng);
        self.heading_rad += (route.turn * step_s.sqrt() * normal(&mut self.rng)).to_radians();
        let way_m = self.speed.max(0.0) * step_s;
        self.distance_m += way_m;
        self.east_m += way_m * self.heading_rad.sin();
        self.north_m += way_m * self.heading_rad.cos();
        let from_home_m = self.east_m.hypot(self.north_m);
        if from_home_m > route.radius_m {
            self.turn_back(route.radius_m / from_home_m);
        }
    }

    /// Back onto the circle, and towards home, more or less.
    fn turn_back(&mut self, shrink: f64) {
        self.east_m *= shrink;
        self.north_m *= shrink;
        let homewards = (-self.east_m).atan2(-self.north_m);
        self.heading_rad = homewards + between(&mut self.rng, -1.0, 1.0);
    }

    fn fix(&self, route: &Route) -> Fix {
        let metres_per_degree_east = METRES_PER_DEGREE * route.latitude.to_radians().cos();
        Fix {
            latitude: route.latitude + self.north_m / METRES_PER_DEGREE,
            longitude: wrap_longitude(route.longitude + self.east_m / metres_per_degree_east),
            speed: self.speed.max(0.0),
            heading: self.heading_rad.to_degrees().rem_euclid(360.0),
            distance: self.distance_m,
        }
    }
}

fn wrap_longitude(degrees: f64) -> f64 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route {
        latitude: 40.4168,
        longitude: -3.7038,
        radius_m: 3_000.0,
        speed: 12.0,
        speed_deviation: 5.0,
        turn: 8.0,
    };

    #[test]
    fn position_moves_by_speed_times_time_along_the_heading() {
        let mut tracker = Tracker::new(&ROUTE, 1, 0);
        let mut before = tracker.sample(&ROUTE, 0);
        let mut straight = 0;
        for second in 1..2_000 {
            let fix = tracker.sample(&ROUTE, second * 1_000_000);
            let north = (fix.latitude - before.latitude) * METRES_PER_DEGREE;
            let east = (fix.longitude - before.longitude)
                * METRES_PER_DEGREE
                * ROUTE.latitude.to_radians().cos();
            let heading = fix.heading.to_radians();
            let miss = (north - fix.speed * heading.cos()).hypot(east - fix.speed * heading.sin());
            straight += i32::from(miss < 1e-3);
            assert!((fix.distance - before.distance - fix.speed).abs() < 1e-6);
            before = fix;
        }
        assert!(straight > 1_950, "only where it turns back may it differ: {straight}");
    }

    #[test]
    fn a_vehicle_stays_within_its_radius_even_after_long_gaps() {
        let mut tracker = Tracker::new(&ROUTE, 2, 0);
        for hour in 1..500 {
            let fix = tracker.sample(&ROUTE, hour * 3_600_000_000);
            let north = (fix.latitude - ROUTE.latitude) * METRES_PER_DEGREE;
            let east = (fix.longitude - ROUTE.longitude)
                * METRES_PER_DEGREE
                * ROUTE.latitude.to_radians().cos();
            assert!(north.hypot(east) <= ROUTE.radius_m + 1e-3);
            assert!((0.0..360.0).contains(&fix.heading) && fix.speed >= 0.0);
        }
    }

    #[test]
    fn longitude_wraps_at_the_date_line() {
        let route = Route { longitude: 179.999, ..ROUTE };
        let mut tracker = Tracker::new(&route, 3, 0);
        let mut sides = [false; 2];
        for second in 0..5_000 {
            let longitude = tracker.sample(&route, second * 1_000_000).longitude;
            assert!((-180.0..180.0).contains(&longitude));
            sides[usize::from(longitude > 0.0)] = true;
        }
        assert_eq!(sides, [true, true], "it drives on both sides of the line");
    }

    #[test]
    fn speed_has_the_mean_of_its_route() {
        let mut tracker = Tracker::new(&ROUTE, 4, 0);
        let speeds = (0..20_000i64).map(|n| tracker.sample(&ROUTE, n * 10_000_000).speed);
        let mean = speeds.sum::<f64>() / 20_000.0;
        assert!((mean - 12.0).abs() < 0.3, "{mean}");
    }
}
