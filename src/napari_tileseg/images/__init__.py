"""Images as lazy arrays with named axes and a place in the world."""
