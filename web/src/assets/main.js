// Everything here makes pages more pleasant. Reading and acting work without it.
import "./time.js";
import "./copy.js";
import "./form.js";
import "./select.js";
import "./keys.js";
import "./palette.js";
import "./chart.js";
import "./live.js";
