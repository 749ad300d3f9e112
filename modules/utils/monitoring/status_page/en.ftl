# The words of the status page, in English. A new language is one more file beside this one.
# The page fills in the blanks in the browser, so a text here cannot have plural forms.

language-name = English
title = FuLLet – status
language = Language
time-shown = Period shown
figures = Figures

## The state

connecting = Connecting…
no-answer = The bot does not answer
taking-jobs = Accepting requests
some-down = Accepting requests; { $down } of { $all } GPUs cannot be used
unready-starting = Starting
unready-standby = Standing by: another process uses this database
unready-not-connected-to-discord = Not connected to Discord
unready-discord-cannot-be-reached = Discord cannot be reached
unready-discord-refuses-this-ip-address-for-now = Discord is refusing this IP address for now
unready-paused-by-an-administrator = Paused by an administrator
unready-no-comfyui-answers = No GPU is available right now
unready-the-queue-is-closed-shutting-down = Stopping
unready-the-queue-is-closed-set-up = Not set up: write ALLOWED_GUILD_ID into .env
unready-the-queue-is-closed-wrong-guild = ALLOWED_GUILD_ID is not one of the bot's servers

## The tiles, each with what it means

pictures = Pictures
    .meaning = made since the bot started
waiting = Waiting
    .meaning = in the queue
running = Being made
    .meaning = on a GPU right now
people = People
    .meaning = waiting for at least one picture
wait = Typical wait
    .meaning = until a GPU starts; half of the pictures wait longer
failed = Failed
    .meaning = since the bot started, not counting cancelled ones
fairness = Fairness
    .meaning = 1.00: everyone got the same number of pictures in the last ten minutes
requests = Requests
    .meaning = to Discord since the bot started; { $refused } rate-limited
uptime = Running for
    .meaning = since the last start

## The GPUs

gpus = GPUs
state-starting = starting
state-idle = idle
state-busy = busy
state-down = offline
state-draining = finishing
elastic = elastic, { $slots } at once
about-gpu = pictures: { $pictures } · busy: { $share }
batches-of = Runs of { $gpu }
batch = { $model }, { $size } at once, { $time }, { $state }
batch-running = running
batch-done = done
batch-failed = failed
legend = the number in each bar is how many pictures the run makes
no-gpus = No GPU is in use: all were drained, or no server was found at the addresses in COMFY_URLS

## The charts

depth = Queue
depth-waiting = waiting
depth-running = being made
depth-label = Pictures waiting and being made, over time
waits = Waits
waits-unit = seconds until a GPU started, one dot per picture
waits-label = Waits over time
now = now
