# Every word the bot says, in English. A new language is one more file beside this one.

language-name = English

## Commands

command-imagine = imagine
    .description = Make a picture from words
    .model = model
    .model-description = Which model draws it
    .prompt = prompt
    .prompt-description = What the picture should show
    .aspect = aspect
    .aspect-description = The picture's shape or size
    .seed = seed
    .seed-description = A number that makes the same picture again
    .negative = negative
    .negative-description = What the picture should not show (only for models that know it)
    .count = count
    .count-description = How many pictures, each with its own seed
command-edit = edit
    .description = Change a picture by words
    .prompt = prompt
    .prompt-description = What should change
    .image = image
    .image-description = The picture to change; without one, your last picture
    .image2 = image2
    .image2-description = A second picture to take something from
    .model = model
    .model-description = Which model edits it
    .seed = seed
    .seed-description = A number that makes the same picture again
command-queue = queue
    .description = How many wait, and where you stand
command-cancel = cancel
    .description = Take back pictures you asked for
command-history = history
    .description = The pictures you have made
command-settings = settings
    .description = Your model, shape, language and where results go
    .model = model
    .model-description = The model that is offered to you first
command-forget = forget
    .description = Erase your prompts, pictures and settings
command-help = help
    .description = What this bot can do
command-edit-picture = Edit picture
command-make-again = Make again
command-admin = admin
    .description = For administrators
command-admin-sync = sync
    .description = Register the slash commands in this server now
command-admin-clearall = clearall
    .description = Remove this bot's slash commands; sync brings them back
command-admin-getid = getid
    .description = This server's id
command-admin-status = status
    .description = The queue, the GPUs and their times
command-admin-gpus = gpus
    .description = Each GPU: state, models, what it does now
command-admin-reload = reload
    .description = Read the GPU addresses from the settings file again
command-admin-pause = pause
    .description = Start no more pictures; what waits keeps its place
command-admin-resume = resume
    .description = Go on after a pause
command-admin-drain = drain
    .description = Let a GPU finish what it does and give it nothing more
    .gpu = gpu
    .gpu-description = The GPU's address
command-admin-block = block
    .description = Take no more pictures from somebody
    .user = user
    .user-description = Who
command-admin-unblock = unblock
    .description = Take pictures from somebody again
    .user = user
    .user-description = Who
command-admin-limits = limits
    .description = What people may have, and who is blocked
command-admin-cancel = cancel
    .description = Cancel anybody's picture
    .job = job
    .job-description = The picture's number, such as 42
command-admin-find = find
    .description = Who made a picture, and from what
    .message = message
    .message-description = A link to the message, or its id

## Answers to a request

queued = { $count ->
        [one] Picture { $numbers } is queued.
       *[other] { $count } pictures are queued: { $numbers }.
    } { $ahead ->
        [taken] { $count ->
            [one] A GPU has taken it already.
           *[other] A GPU has taken the first already.
        }
        [0] First in line.
        [one] One picture comes before.
       *[other] { $ahead } pictures come before.
    }
queued-expected = Expected { $when }.
queued-paused = The queue is paused just now; your place is kept.
queued-no-server = No GPU is there just now; your place is kept, and it starts when one comes back.
queued-where = It will appear in { $channel }.
queued-where-direct = It will come to you by direct message.

## A job's status message

status-queued = **#{ $number }** is waiting: { $ahead ->
        [taken] a GPU has taken it.
        [0] first in line ({ $waiting } waiting in all).
        [one] one picture is before it ({ $waiting } waiting in all).
       *[other] { $ahead } pictures are before it ({ $waiting } waiting in all).
    }
status-expected = Expected { $when }.
status-no-server = No GPU is there just now. Your place is kept.
status-paused = The queue is paused just now. Your place is kept.
status-started = **#{ $number }** is being made, begun { $since }.
status-steps = { $bar } { $step } of { $steps } steps
status-retrying = **#{ $number }**: { $why ->
        [server] the GPU server failed. One that works makes it next
        [server-none] the GPU server failed, and no other can make it now. It waits until one can
        [lacks] that GPU server lacks a file or a node of this model. One that has it makes it next
        [lacks-none] the GPU server lacks a file or a node of this model, and no other has it now. It waits until one has
        [size] the GPU ran out of memory. It is made again with fewer at once
        [size-alone] the GPU ran out of memory. It is tried again
        [content] the run failed. It is made again in a smaller group or alone, to find the cause
        [fusion] the pictures of that run cannot be made together. Each is made by itself now
       *[nobody] the run failed. It is tried again
    }; your place is kept.
status-finishing = **#{ $number }** is made and on its way to you.
status-restarting = **#{ $number }**: the bot is restarting, your place is kept.
status-cancelled = **#{ $number }** was cancelled.
status-cancelled-by-other = **#{ $number }** was cancelled by an administrator.
status-failed = { $owner } **#{ $number }** did not work. { $why }
status-delivered = **#{ $number }** is done.
status-kept = **#{ $number }** is made, but could not be delivered. It is kept and shown at your next command.
ended-delivered = **#{ $number }** is ready: [open]({ $link })
ended-delivered-in = **#{ $number }** is ready in { $channel }.
ended-deleted = **#{ $number }** was made, and is deleted.
ended-failed = **#{ $number }** did not work. { $why }
prompt-line = > { $prompt }

## The result

result-line = { $model } · { $size } · seed `{ $seed }`
made-upscaled = { $made }, upscaled ×{ $factor }
made-edited = { $made }, edited by { $model }
result-variation = variation `{ $seed }`
result-waited = waited { $seconds } s
result-gpu = GPU { $seconds } s for { $count }, { $each } s per picture
result-gpu-alone = GPU { $seconds } s
result-number = **#{ $number }**
result-reencoded = Made smaller to fit this server's limit for files.
result-moved = Your former channel is gone; this is a new one.
result-direct = Your channel could not be used, so here it is.
shared-by = By { $name }

## Buttons and forms

button-again = Again
button-vary = Vary
button-edit = Edit
button-prompt = Prompt…
button-upscale = Upscale
button-share = Share
button-delete = Delete
button-cancel = Cancel
button-older = Older
button-newer = Newer
button-forget = Erase everything
button-keep = Keep it
form-edit = Edit picture
form-prompt = Change and make again
form-again = Make again
form-field-prompt = Prompt
form-field-negative = Not in the picture
form-field-seed = Seed (empty: a new one)
form-field-size = Size or shape
form-field-model = Model
form-cut = Only the first { $shown } of { $length } characters fit in here.
shared-done = Shared in { $channel }.
shared-nowhere = Sharing is not set up here.
shared-refused = The gallery did not take the picture. An administrator can see whether the bot may post there.
deleted = Deleted.
cancelled-mine = { $count ->
        [0] There was nothing left to cancel.
        [one] Cancelled: { $numbers }.
       *[other] Cancelled: { $numbers }.
    }
cancel-choose = Which pictures do you take back?
cancel-all = All of them
cancel-none = You have nothing in the queue.

## Shapes

aspect-default = The model's own shape
aspect-square = Square
aspect-portrait = Portrait
aspect-landscape = Landscape
aspect-wide = Wide
aspect-tall = Tall
choice-model = { $label } · { $seconds ->
        [unknown] { $steps ->
            [one] { $steps } step
           *[other] { $steps } steps
        }
       *[other] ~{ $seconds } s
    } · { $description }

## /queue

queue-title = The queue
queue-counts = { $waiting } waiting, { $taken ->
        [0] {""}
       *[other] { $taken } next,{" "}
    }{ $running } being made, { $arriving ->
        [0] {""}
       *[other] { $arriving } on the way,{" "}
    }{ $users ->
        [one] one person
       *[other] { $users } people
    }.
queue-closed = Nothing is taken just now.
queue-mine-running = **#{ $number }** is with a GPU{ $when ->
        [none] .
       *[other] , expected { $when }.
    }
queue-mine-waiting = **#{ $number }**: { $ahead ->
        [0] first in line
        [one] one before it
       *[other] { $ahead } before it
    }{ $when ->
        [none] .
       *[other] , expected { $when }.
    }
queue-none-mine = Nothing of yours is in the queue.

## /history

history-title = Your pictures
history-empty = You have made no pictures yet.
history-line = **#{ $number }** { $when } · { $model } · { $size ->
        [none] {""}
       *[other] { $size } ·{" "}
    }{ $state ->
        [delivered] [open]({ $link })
        [failed] did not work
        [cancelled] cancelled
        [deleted] deleted
        [kept] kept for you
       *[other] in the queue
    }
history-pick = What to do with one of them?
history-act = #{ $number } { $prompt }

## /settings

settings-title = Your settings
settings-saved = Saved.
settings-model = Model
settings-aspect = Shape
settings-locale = Language
settings-locale-auto = Discord's language
settings-switches = Also
settings-previews = Show the picture forming
settings-notify = Mention me when a picture is done
settings-direct = Send results by direct message

## /forget

forget-ask = This erases your prompts, your pictures in the bot's memory and your settings. It cannot be undone. Messages in Discord stay, except your session channel, which is closed.
forget-done = All of it is erased.
forget-kept = Nothing was erased.
forget-busy = Pictures of yours are still in the queue. Wait for them, or take them back by /cancel.

## /help

help-imagine = **/imagine** makes a picture from words: choose a model, write what it should show.
help-edit = **/edit** changes a picture: attach one, or leave it out to change your last one.
help-queue = **/queue** shows where you stand, **/cancel** takes pictures back, **/history** shows what you made.
help-settings = **/settings** keeps your model, shape and language, **/forget** erases what is kept about you.
help-buttons = The buttons under a picture work for as long as the message is there.
help-limit = You may have { $limit ->
        [one] one picture
       *[other] { $limit } pictures
    } in the queue at once.
help-models = **Models**
help-model = **{ $label }**: { $description }

## The session channel

session-topic = Private pictures of one person. Closes after { $minutes ->
        [one] one minute
       *[other] { $minutes } minutes
    } without use. { $marker }
session-closing = { $owner } This channel closes { $when } unless you use it. /history still finds your pictures.

## Administrators

admin-only = Only administrators may do this.
admin-synced = { $count ->
        [one] One slash command is registered in this server.
       *[other] { $count } slash commands are registered in this server.
    }
admin-cleared = This bot's slash commands are removed, globally and in this server. Nothing in the queue was touched. `!sync` brings them back.
admin-guild-id = This server's id is `{ $id }`.
admin-paused = Paused: nothing is started. What runs is finished, what waits keeps its place.
admin-resumed = The queue goes on.
admin-draining = { $gpu } finishes what it does and gets nothing more.
admin-no-gpu = There is no GPU of that name. There are: { $names }.
admin-reloaded = Read again. GPUs: { $names }.
admin-blocked = { $user } is blocked. { $count ->
        [0] Nothing of theirs was in the queue.
        [one] One picture of theirs was cancelled.
       *[other] { $count } pictures of theirs were cancelled.
    }
admin-unblocked = { $user } may ask for pictures again.
admin-cancelled = **#{ $number }** of { $user } is cancelled.
admin-status-title = Status
admin-status-queue = Queue
admin-status-expected = The last one in line is expected { $when }.
admin-status-gpus = GPUs
admin-status-chart = How busy each GPU has been since the start, in the order above
admin-status-discord = Discord
admin-status-requests = { $requests } requests, { $refused } of them refused as too many
admin-status-check = Check
admin-status-check-counts = { $ok } in order, { $hint } could be better, { $fault } to mend
admin-status-check-area = `{ $area }`: { $hint } could be better, { $fault } to mend
admin-status-check-where = `python bot.py check` says which.
admin-gpu-notes = Notes: { $count }; `python bot.py check` says which.
admin-status-check-slow = The check takes too long just now; `python bot.py check` says where it waits.
admin-gpu-line = **{ $name }** { $state ->
        [idle] idle
        [busy] busy
        [down] not there
        [draining] finishing
       *[other] starting
    } · { $pictures ->
        [one] one picture
       *[other] { $pictures } pictures
    }{ $each ->
        [0] {""}
       *[other] , { $each } s each
    } · busy { $share } %
admin-gpu-models = Models: { $models }
admin-gpu-error = Last error: { $error }
admin-no-gpus = No GPU is configured.
admin-limits-everybody = Everybody: { $jobs } at once, { $daily ->
        [0] any number
       *[other] { $daily }
    } a day.
admin-limits-role = { $role }: { $jobs } at once, { $daily ->
        [0] as everybody
       *[other] { $daily }
    } a day, priority { $tier }.
admin-limits-cooldown = At least { $seconds } s between two requests.
admin-limits-blocked = Blocked: { $users }
admin-limits-nobody-blocked = Nobody is blocked.
admin-found = **#{ $number }** by { $user }, { $when }: { $model }{ $size ->
        [none] {""}
       *[other] , { $size }
    }, seed `{ $seed }`

## Errors

error-unexpected = Something went wrong that should not. It is in the log; please try again.
error-bad-prompt = { $length ->
        [0] Write what the picture should show.
       *[other] The prompt has { $length } characters; at most { $limit } are possible.
    }
error-bad-size = { $size } is not a size of this model. Possible are: { $allowed }.
error-bad-seed = A seed is a whole number from 0 to 9007199254740991.
error-bad-source-image = { $problem ->
        [not-image] That file is not a picture I can read. PNG, JPEG, WebP and GIF work.
        [truncated] That picture is cut off or damaged. Please upload it again.
        [too-many-pixels] That picture is too large: at most { $megapixels } million pixels are possible.
        [too-many-bytes] That file is too large: at most { $megabytes } MB are possible.
        [took-too-long] Reading that picture took too long. Please try a simpler one.
        [gone] That picture is no longer there. Please upload it again.
       *[other] That picture cannot be used.
    }
error-no-source-image = Attach a picture to change; you have none from before.
error-source-count = { $model } starts from this many pictures: { $count }.
error-unknown-model = There is no model called { $model }. Choose one from the list.
error-model-unavailable = No GPU can run { $model } just now. Choose another model, or try later.
error-not-allowed-here = { $model } works only in age-restricted channels.
error-restricted-picture = That picture can be worked on only in age-restricted channels.
error-user-limit = { $limit ->
        [one] You may have one picture in the queue at once
       *[other] You may have { $limit } pictures in the queue at once
    }; { $active ->
        [0] you asked for { $asked }.
        [one] one is there already.
       *[other] { $active } are there already.
    }
error-daily-limit = { $limit ->
        [one] Your picture of today is made.
       *[other] Your { $limit } pictures of today are used up.
    } The count begins anew at midnight (UTC).
error-cooling-down = Please wait { $seconds ->
        [one] one more second.
       *[other] { $seconds } more seconds.
    }
error-blocked = You cannot ask for pictures here. An administrator has decided so.
error-banned-word = The prompt holds a word that this community does not allow.
error-unknown-job = That picture is no longer in the queue.
error-not-your-job = That picture is somebody else's.
error-too-many-channels = This server has no room for another channel. Please ask an administrator to remove some.
error-queue-closed = { $why ->
        [shutting-down] The bot is restarting. Please try again in a minute.
        [paused] The bot is paused. Please try again later.
        [set-up] The bot is not set up yet: its server's id is missing.
        [wrong-guild] The bot is set up for another server.
        [store] The bot's memory cannot be reached just now. Please try again in a minute.
       *[other] Nothing is taken just now. Please try again later.
    }
error-generation = It did not work: { $reason }
error-engine-unavailable = The GPU server failed or could not be reached. Please try again.
error-server-lacks = The GPU server lacks something that the model needs: { $reason }
error-out-of-memory = The GPU's memory did not suffice, even for this picture alone. Try a smaller size.
error-fusion-refused = This picture cannot be made together with others. It is made by itself now.
error-workflow-rejected = The GPU server refused it: { $reason }
error-execution-failed = It failed while being made: { $reason }
error-no-output = It ended without a picture. Please try again.
error-attempts-exhausted = Every try on a GPU server failed. Please try again later. ({ $reason })
error-store = The bot's memory cannot be reached just now. Please try again in a minute.
error-permissions = I may not do that here. Please ask an administrator to give me the permission: { $permissions }.
error-form-number = “{ $value }” is no number.
error-no-picture-here = There is no picture in that message.
error-no-negative = { $model } knows no negative prompt. Leave it empty.
error-gone = That picture is no longer in my memory.
error-not-a-member = Only members of the bot's server can do this.
