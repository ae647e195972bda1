"""The same work through metacli and through other libraries, side by side: see scripts/bench/peers."""
