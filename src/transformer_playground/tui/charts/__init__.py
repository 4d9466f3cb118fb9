"""Line charts and sparklines drawn with braille characters."""
