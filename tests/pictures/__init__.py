"""Makes docs/pictures: the demonstration, driven in a headless Chromium and looked at."""
