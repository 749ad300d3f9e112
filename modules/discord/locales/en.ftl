# Every word the bot says, in English. A new language is one more file beside this one.

language-name = English

## Commands

command-imagine = imagine
    .description = Make a picture from a description
    .model = model
    .model-description = The model to use
    .prompt = prompt
    .prompt-description = What the picture should show
    .aspect = aspect
    .aspect-description = The picture's shape or size
    .style = style
    .style-description = A look: words that are added to your prompt
    .lora = lora
    .lora-description = A LoRA, which changes how the model draws
    .lora_strength = lora_strength
    .lora_strength-description = How strong the effect of the LoRA is
    .seed = seed
    .seed-description = A number; the same prompt, model and seed make the same picture again
    .negative = negative
    .negative-description = What the picture should not show (some models do not use this)
    .count = count
    .count-description = How many pictures; each gets its own seed
    .image = image
    .image-description = A picture to start from; if part of a PNG is transparent, only that part is painted
    .strength = strength
    .strength-description = How much the picture may change, from 0.05 (hardly at all) to 1 (completely)
command-edit = edit
    .description = Change a picture: describe what should be different
    .prompt = prompt
    .prompt-description = What to change
    .image = image
    .image-description = The picture (empty: your last one); if part of a PNG is transparent, only that part is painted
    .image2 = image2
    .image2-description = A second picture, for example of an object to add to the first
    .mask = mask
    .mask-description = A picture of the same size; yours changes only where this one is white or transparent
    .model = model
    .model-description = The model to use
    .style = style
    .style-description = A look: words that are added to your prompt
    .lora = lora
    .lora-description = A LoRA, which changes how the model draws
    .lora_strength = lora_strength
    .lora_strength-description = How strong the effect of the LoRA is
    .seed = seed
    .seed-description = A number; the same prompt, model and seed make the same picture again
command-queue = queue
    .description = How many pictures are waiting, and your place in line
command-cancel = cancel
    .description = Cancel pictures you asked for
command-history = history
    .description = The pictures you have made
command-settings = settings
    .description = Your model, shape, style and language, and where your pictures go
    .model = model
    .model-description = The model for new pictures: first in your lists, and used when you name none
command-forget = forget
    .description = Erase your prompts, pictures and settings
command-help = help
    .description = What this bot can do
command-edit-picture = Edit picture
command-make-again = Make again
command-use-as-start = Use as start
command-admin = admin
    .description = For administrators
command-admin-sync = sync
    .description = Register the slash commands in this server now
command-admin-clearall = clearall
    .description = Remove this bot's slash commands; sync brings them back
command-admin-getid = getid
    .description = Show this server's ID
command-admin-status = status
    .description = The queue, the GPUs and how long pictures take
command-admin-gpus = gpus
    .description = Each GPU: its state, its models and what it is doing
command-admin-reload = reload
    .description = Read .env and the models again; drained GPUs come back
command-admin-pause = pause
    .description = Start no more pictures; those in the queue keep their place
command-admin-resume = resume
    .description = Start pictures again after a pause
command-admin-drain = drain
    .description = Let a GPU finish what it is doing, then give it nothing more
    .gpu = gpu
    .gpu-description = The GPU's address
command-admin-block = block
    .description = Stop taking requests from a member
    .user = user
    .user-description = The member to block
command-admin-unblock = unblock
    .description = Take requests from a member again
    .user = user
    .user-description = The member to unblock
command-admin-limits = limits
    .description = How much each member may ask for, and who is blocked
command-admin-cancel = cancel
    .description = Cancel anyone's picture
    .job = job
    .job-description = The picture's number, for example 42
command-admin-find = find
    .description = Who made a picture, and how
    .message = message
    .message-description = A link to the message, or its ID

## Answers to a request

queued = { $count ->
        [one] Picture { $numbers } is queued. Follow it in { $channel }.
       *[other] { $count } pictures are queued: { $numbers }. Follow them in { $channel }.
    }{ $direct ->
        [0] {""}
       *[other] {" "}You will get the result by direct message.
    }

## A job's status message

status-queued = { $ahead ->
        [taken] **#{ $number }** starts soon: a GPU has already taken it.
        [0] **#{ $number }** is first in line ({ $waiting } waiting in total).
        [one] **#{ $number }** is waiting: one picture is ahead of it ({ $waiting } waiting in total).
       *[other] **#{ $number }** is waiting: at most { $ahead } pictures are ahead of it ({ $waiting } waiting in total).
    }
status-set = **{ $numbers }** · { $ready } of { $count } ready
status-expected = Expected { $when ->
        [soon] any moment now
       *[other] { $when }
    }.
status-no-server = No GPU is online right now. Pictures in the queue keep their place.
status-starting = A GPU is starting, which takes about { $seconds } s. Pictures in the queue keep their place.
status-stranded = No GPU has { $model } any more. If that does not change, this request will fail { $when }.
status-paused = The queue is paused right now. Pictures in the queue keep their place.
status-started = Making **#{ $number }** · started { $since }
status-steps = { $bar } step { $step } of { $steps }
status-retrying = **#{ $number }**: { $why ->
        [server] the GPU server failed. A working server will make the picture
        [server-none] the GPU server failed, and no other one can make it right now. The picture waits until one can
        [lacks] the GPU server is missing something this model needs. A server that has it will make the picture
        [lacks-none] the GPU server is missing something this model needs, and no other one has it right now. The picture waits until one does
        [size] the GPU ran out of memory. Trying again with fewer pictures at once
        [size-alone] the GPU ran out of memory. Trying again
        [content] something failed. Trying again in a smaller group or alone, to find the cause
        [fusion] this picture cannot be made together with others. It will now be made separately
       *[nobody] something failed. Trying again
    }; your place is kept.
status-finishing = **#{ $number }** is ready; sending it.
status-restarting = **#{ $number }**: the bot is restarting; your place is kept.
status-cancelled = **#{ $number }** was cancelled.
status-cancelled-by-other = **#{ $number }** was cancelled by an administrator.
status-failed = **#{ $number }** could not be made. { $why }
status-delivered = **#{ $number }** is ready.
status-kept = **#{ $number }** is ready but could not be sent. It is saved and will be sent as soon as possible. If you use any command, the bot tries again at once.
ended-delivered = **#{ $number }** is ready: [open]({ $link })
ended-delivered-in = **#{ $number }** is ready in { $channel }.
ended-deleted = **#{ $number }** was made and later deleted.
failed-see = { $owner } **#{ $number }** could not be made: [what happened]({ $link })
prompt-line = > { $prompt }

## The result

result-line = { $model } · { $size } · seed `{ $seed }`
lora-line = { $label } { $strength }{ $words ->
        [none] {""}
       *[other] {" "}(adds “{ $words }”)
    }
made-upscaled = { $made }, upscaled ×{ $factor }
made-edited = { $made }, edited with { $model }
result-start = started from a picture, strength { $strength }
result-part = only part of it changed
result-variation = variation `{ $seed }`
result-seconds = { $seconds ->
        [0] under 0.1 s
       *[other] { $seconds } s
    }
result-together = made together with { $others ->
        [one] one other
       *[other] { $others } others
    }
result-waited = { $seconds ->
        [0] no wait
       *[other] waited { $seconds } s
    }
result-gpu = GPU { $seconds ->
        [0] under 0.1 s
       *[other] { $seconds } s
    } for { $count } pictures, { $each ->
        [0] under 0.1 s
       *[other] { $each } s
    } each
result-gpu-alone = GPU { $seconds ->
        [0] under 0.1 s
       *[other] { $seconds } s
    }
details-prompt = The model got: { $prompt }
details-negative = What should not be in the picture: { $negative }
details-metadata = { $there ->
        [0] The file contains only the picture.
       *[other] The file contains your prompt, the seed and the model.
    }
result-number = **#{ $number }**
result-reencoded = Compressed to fit Discord's file size limit.
result-moved = Your old channel could not be used; this is a new one.
result-direct = Your channel could not be used, so here is your picture.
shared-by = By { $name }

## Buttons and forms

button-again = Again
button-vary = Vary
button-edit = Edit
button-prompt = Prompt…
button-start = Use as start…
button-zoom15 = Zoom out 1.5×
button-zoom2 = Zoom out 2×
button-panleft = Pan ←
button-panup = Pan ↑
button-panright = Pan →
button-pandown = Pan ↓
button-upscale = Upscale
button-share = Share
button-delete = Delete
button-details = Details
button-erase = Yes, delete it
button-cancel = Cancel
button-cancelall = Cancel all
more = More…
which = Which picture the buttons apply to
which-option = #{ $number } · seed { $seed }
button-back = Back
button-older = Older
button-newer = Newer
button-search = Search…
button-forget = Erase everything
button-keep = Keep everything
button-reopen = Open the form again
button-refresh = Refresh
button-turn-on = Turn on
button-turn-off = Turn off
form-edit = Edit picture
form-prompt = Change and make again
form-again = Make again
form-start = Use as start
form-field-prompt = Prompt
form-field-negative = What should not be in the picture
form-hint-negative = Some models do not use this
form-field-strength = Strength
form-hint-strength = How much the picture may change, from hardly at all to completely
form-field-seed = Seed
form-hint-seed = Leave empty for a new one
form-field-size = Shape
form-field-model = Model
form-field-style = Style
form-lora = { $models ->
        [none] { $lora } is no longer available.
       *[other] { $lora } is used only with these models: { $models }
    }
form-search = Search your pictures
form-field-word = A word in the prompt
form-field-pictures = Other pictures to use
form-files-again = Your files are not kept: attach them again.
form-cut = Only the first { $shown } of { $length } characters fit here.
shared-done = Shared in { $channel }.
shared-already = It is already in the gallery: { $link }
shared-nowhere = Sharing is not set up here.
shared-refused = The picture could not be posted in the gallery. Please ask an administrator to check the bot's permissions there.
delete-ask = Delete **#{ $number }** for good?
deleted = Deleted.
cancelled-mine = { $count ->
        [0] There was nothing left to cancel.
        [one] Cancelled: { $numbers }.
       *[other] Cancelled: { $numbers }.
    }
cancel-choose = Which pictures do you want to cancel?
cancel-all = All of them
cancel-none = You have nothing in the queue.

## Shapes

aspect-default = Default shape
aspect-square = Square
aspect-portrait = Portrait
aspect-landscape = Landscape
aspect-wide = Wide
aspect-tall = Tall
choice-no-style = No style
choice-no-lora = No LoRA
choice-no-loras = There is no LoRA for this model right now
choice-lora = { $label } · { $least } to { $most }{ $words ->
        [none] {""}
       *[other] {" "}· adds “{ $words }”
    }
choice-strength = { $strength }
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
       *[other] { $taken } about to start,{" "}
    }{ $running } being made{ $arriving ->
        [0] {""}
       *[other] , { $arriving } being sent
    }{ $users ->
        [0] .
        [one] , for one person.
       *[other] , for { $users } people.
    }
queue-closed = No new requests are accepted right now.
queue-mine-running = **#{ $number }** is being made{ $when ->
        [none] .
        [soon] , expected any moment now.
       *[other] , expected { $when }.
    }
queue-mine-taken = **#{ $number }** starts soon: a GPU has already taken it{ $when ->
        [none] .
        [soon] ; expected any moment now.
       *[other] ; expected { $when }.
    }
queue-mine-waiting = **#{ $number }**: { $ahead ->
        [0] first in line
        [one] one ahead of it
       *[other] { $ahead } ahead of it
    }{ $when ->
        [none] .
        [soon] , expected any moment now.
       *[other] , expected { $when }.
    }
queue-none-mine = You have nothing in the queue.
queue-more-mine = { $count ->
        [one] One more of your pictures is waiting
       *[other] { $count } more of your pictures are waiting
    }; { COMMAND("cancel") } lists all of yours.

## /history

history-title = Your pictures
history-empty = You have not made any pictures yet.
history-line = **#{ $number }** { $when } · { $model } · { $size ->
        [none] {""}
       *[other] { $size } ·{" "}
    }{ $state ->
        [delivered] [open]({ $link })
        [failed] failed
        [cancelled] cancelled
        [deleted] deleted
        [closed] its channel was deleted
        [kept] saved for you
       *[other] in the queue
    }
history-pick = Choose a picture to work with
history-model = Show one model only
history-all-models = All models
history-word = With “{ $word }” in the prompt
history-none-found = None of your pictures match.

## /settings

settings-title = Your settings
settings-saved = Saved.
settings-model = Model
settings-model-auto = No preference
settings-aspect = Shape
settings-style = Style for new pictures
settings-lora = LoRA for new pictures (used only with the models it works with)
settings-strength = Strength when starting from a picture
settings-strength-auto = Default ({ $strength })
settings-locale = Language
settings-locale-auto = Same as Discord
settings-previews = Show the picture while it is being made
settings-notify = Mention me when a picture is ready
settings-direct = Send my pictures by direct message
settings-on = on
settings-off = off

## /forget

forget-ask = This erases your prompts, your settings and the pictures that the bot keeps for you. It cannot be undone. Your private channel is deleted with everything in it; messages elsewhere in Discord are not deleted.
forget-done = Everything is erased.
forget-kept = Nothing was erased.
forget-busy = Some of your pictures are still in the queue. Wait for them, or cancel them with { COMMAND("cancel") }.

## /help

help-title = What this bot can do
help-imagine = **{ COMMAND("imagine") }** makes a picture: choose a model and write what it should show. Add a picture to start from it.
help-edit = **{ COMMAND("edit") }** changes a picture: attach one, or leave it out to change your last one. Transparent parts or a mask mark what may change; the rest stays the same.
help-queue = **{ COMMAND("queue") }** shows your place in line; **{ COMMAND("cancel") }** cancels pictures.
help-history = **{ COMMAND("history") }** shows what you have made; search it by model or word.
help-settings = **{ COMMAND("settings") }** sets your model, shape, style and language; **{ COMMAND("forget") }** erases your prompts, pictures and settings.
help-menus = Right-click any picture (on a phone, press and hold it), then *Apps*: *Edit picture*, *Use as start* or *Make again*.
help-limit = You can have { $limit ->
        [one] one picture
       *[other] { $limit } pictures
    } in the queue at once.
help-buttons = The buttons and the menu under a picture
help-button-again = the same prompt with a new seed
help-button-vary = the same picture with small changes
help-button-edit = say what should be different
help-button-prompt = change the prompt, the model, the style, the shape or the seed
help-button-start = make a new picture that starts from this one
help-make-room = **Zoom out** and **Pan**: paint more around the picture, or on one side of it
help-button-upscale = the same picture, larger
help-button-share = show it to everyone in the gallery
help-button-delete = remove the picture
help-button-details = how and when it was made
help-button-cancel = stop a picture that is not ready yet
help-buttons-last = The buttons keep working, even days later.
help-models = Models
help-model = **{ $label }**: { $description }

## The session channel

session-topic = Private channel for the pictures of { $owner }. It is deleted after { $minutes ->
        [one] one minute
       *[other] { $minutes } minutes
    } without activity.
session-closing = { $owner } This channel and the pictures in it will be deleted { $when } unless you use it. { COMMAND("history") } will still list them.

## Administrators

admin-argument-missing = { $command } needs { $argument ->
        [user] a person: mention them, or write their ID.
        [gpu] the name of a GPU, as { COMMAND("admin gpus") } shows it.
        [job] the number of a picture.
        [message] a message: paste a link to it, or its ID.
       *[other] something after it: { $argument }.
    }
admin-argument-wrong = { $command } does not understand what you wrote after it. To name a person, mention them or write their ID.
admin-only = Only administrators can do this.
admin-synced = { $count ->
        [one] One command is now registered in this server.
       *[other] { $count } commands are now registered in this server.
    }
admin-cleared = This bot's slash commands have been removed, globally and in this server. The queue is not affected. `!sync` brings them back.
admin-guild-id = This server's ID is `{ $id }`.
admin-paused = Paused: pictures that a GPU has already taken will still be made; those waiting keep their place.
admin-resumed = The queue is running again.
admin-draining = { $gpu } will finish what it is doing and get nothing more. { COMMAND("admin reload") } brings it back.
admin-no-gpu = There is no GPU with that name. The GPUs are: { $names }.
admin-reloaded = Reloaded. GPUs: { $names }.
admin-reloaded-model = { $turn ->
        [added] New model: { $what }
        [changed] Changed model: { $what }
        [removed] Removed model: { $what }
        [reread] Read again: { $what }
       *[faulty] This cannot be used: { $what }
    }
admin-blocked = { $user } is blocked. { $count ->
        [0] They had nothing in the queue.
        [one] One of their pictures was cancelled.
       *[other] { $count } of their pictures were cancelled.
    }
admin-unblocked = { $user } can ask for pictures again.
admin-cancelled = Cancelled **#{ $number }**, requested by { $user }.
admin-status-title = Status
admin-status-queue = Queue
admin-status-expected = The last picture in line is expected { $when ->
        [soon] any moment now
       *[other] { $when }
    }.
admin-status-discord = Discord
admin-status-requests = { $requests ->
        [one] { $requests } request
       *[other] { $requests } requests
    }, { $refused } rate-limited
admin-status-check = Check
admin-status-check-counts = { $ok } OK, { $hint ->
        [one] { $hint } warning
       *[other] { $hint } warnings
    }, { $fault ->
        [one] { $fault } problem
       *[other] { $fault } problems
    }
admin-status-check-area = `{ $area }`: { $hint ->
        [one] { $hint } warning
       *[other] { $hint } warnings
    }, { $fault ->
        [one] { $fault } problem
       *[other] { $fault } problems
    }
admin-status-check-where = `python3 bot.py check` lists them.
admin-gpu-notes = Warnings: { $count }; `python3 bot.py check` lists them.
admin-status-check-slow = The check is taking too long; run `python3 bot.py check` to see what it is waiting for.
admin-gpu-line = **{ $name }** { $state ->
        [idle] idle
        [busy] busy
        [down] offline
        [draining] finishing
       *[other] starting
    } · { $pictures ->
        [one] one picture{ $each ->
            [0] {""}
           *[other] , { $each } s
        }
       *[other] { $pictures } pictures{ $each ->
            [0] {""}
           *[other] , { $each } s each
        }
    }
admin-gpu-share = { $bar } busy { $share }%
admin-gpu-busy = “Busy” is the share of time that a GPU has worked since the bot started.
admin-gpu-private = { COMMAND("admin gpus") } shows addresses and errors only to you.
admin-gpu-elastic = Elastic: { $slots ->
        [one] one picture
       *[other] up to { $slots } pictures
    } at once{ $after ->
        [0] {""}
       *[other] , for pictures that would wait longer than { $after } s for your own GPUs
    }.
admin-gpu-models = Models: { $models }
admin-gpu-checked = { $model } (checked on { $when }, { $rows ->
        [-1] made one by one: together, its pictures differ from those made alone
        [0] pictures made together match those made alone
       *[other] { $gain }× as fast with { $rows } at once
    })
admin-gpu-missing = Missing model file: { $name }
admin-gpu-error = Last error: { $error }
admin-no-gpus = No GPU is in use: all were drained, or no server was found at the addresses in COMFY_URLS. { COMMAND("admin reload") } brings drained GPUs back.
admin-limits-everybody = Everyone: { $jobs } at once, { $daily ->
        [0] no daily limit
       *[other] { $daily } per day
    }.
admin-limits-role = { $role }: { $jobs } at once, { $daily ->
        [0] same daily limit as everyone
       *[other] { $daily } per day
    }, priority { $tier }.
admin-limits-cooldown = At least { $seconds } s between two requests.
admin-limits-blocked = Blocked: { $users }
admin-limits-nobody-blocked = Nobody is blocked.
admin-found = **#{ $number }** by { $user }, { $when }: { $model }{ $size ->
        [none] {""}
       *[other] , { $size }
    }, seed `{ $seed }`

## Errors

error-unexpected = Something unexpected went wrong. Please try again; the details are in the bot's log.
error-bad-prompt = { $length ->
        [0] Write what the picture should show.
       *[other] Your text is too long: with the words that the style and the LoRA add, it has { $length } characters; the limit is { $limit }.
    }
error-bad-size = This model cannot make this shape or size: { $size ->
        [square] { aspect-square }
        [portrait] { aspect-portrait }
        [landscape] { aspect-landscape }
        [wide] { aspect-wide }
        [tall] { aspect-tall }
       *[other] { $size }
    }. Choose from: { $allowed }.
error-bad-seed = A seed is a whole number from 0 to 9007199254740991.
error-bad-source-image = { $problem ->
        [not-image] That file is not a picture the bot can read. Use PNG, JPEG, WebP or GIF.
        [truncated] That picture is incomplete or damaged. Please upload it again.
        [too-many-pixels] That picture is too large: the limit is { $megapixels } million pixels.
        [too-many-bytes] That file is too large: the limit is { $megabytes } MB.
        [took-too-long] Reading that picture took too long. Please try another one.
        [gone] That picture is no longer available. Please upload it again.
       *[other] That picture cannot be used.
    }
error-bad-mask = { $problem ->
        [size] The mask must have the same width and height as the picture.
        [nothing] The mask marks nothing: make the part that should change white or transparent.
        [outside] The part that should change is cut off when the picture is resized and cropped to the size of the result. Crop the picture yourself, or choose another aspect in { COMMAND("imagine") }.
       *[everything] The mask marks the whole picture, so nothing of it would be left. Mark only a part.
    }
error-bad-strength = The strength must be from 0.05 to 1, not { $strength }.
error-strength-alone = The strength needs a picture to start from: attach one as `image`.
error-cannot-start = { $model } cannot start from a picture.{ $others ->
        [none] {""}
       *[other] {" "}These can: { $others }.
    }
error-cannot-mask = { $model } cannot change just part of a picture.{ $others ->
        [none] {""}
       *[other] {" "}These can: { $others }.
    }
error-mask-needed = { $model } changes only a marked part of a picture. Add a mask, or use a PNG with a transparent part.
error-no-starts = No model here can start from a picture.
error-no-masks = No model here can change just part of a picture.
error-no-source-image = Attach the picture you want to change: you have no earlier one.
error-source-count = { $model } needs this many pictures: { $count }.
error-unknown-model = There is no model called { $model }. Choose one from the list.
error-no-model = { $kind ->
        [edit] No model here can change a picture.
        [upscale] No model here can upscale a picture.
       *[other] No model here can make a picture from a description.
    }
error-lora-unavailable = No GPU that runs { $model } has { $lora } right now. Choose another LoRA or none, or try again later.
error-unknown-lora = There is no LoRA called { $lora }. Choose one from the list.
error-lora-roles = None of your roles may use { $lora }. Choose another LoRA.
error-lora-models = { $lora } does not work with { $model }. It works with: { $models }.
error-lora-strength = { $lora } takes a strength from { $least } to { $most }, in steps of { $step }.
error-lora-missing = Choose a LoRA too: its strength alone changes nothing.
error-unknown-style = There is no style called { $style }. Choose one from the list.
error-no-variations = No GPU can make variations right now: the GPU servers are missing something that variations need. Please tell an administrator.
error-model-unavailable = No GPU can run { $model } right now. Choose another model, or try again later.
error-not-allowed-here = { $model } works only in age-restricted channels.
error-restricted-picture = That picture can be used only in age-restricted channels.
error-user-limit = { $limit ->
        [one] You can have one picture in the queue at once
       *[other] You can have { $limit } pictures in the queue at once
    }; { $active ->
        [0] you asked for { $asked }.
        [one] you already have one.
       *[other] you already have { $active }.
    }
error-daily-limit = { $asked ->
        [one] { $limit ->
            [one] You have used your one picture for today
           *[other] You have used today's { $limit } pictures
        }
       *[other] { $limit ->
            [one] You can make one picture a day, and this request would go over that
           *[other] You can make { $limit } pictures a day, and this request would go over that
        }
    }; the count resets at midnight (UTC).
error-cooling-down = Please wait { $seconds ->
        [one] one more second.
       *[other] { $seconds } more seconds.
    }
error-blocked = You cannot ask for pictures here: an administrator has blocked you.
error-guild-away = This server is unavailable right now because of a Discord outage. Please try again in a few minutes.
error-banned-word = Your prompt contains a word that is not allowed here.
error-unknown-job = That picture is not in the queue.
error-not-your-job = That picture belongs to someone else.
error-too-many-channels = This server has no room for another channel. Please ask an administrator to delete some.
error-queue-closed = { $why ->
        [shutting-down] The bot is restarting. Please try again in a minute.
        [set-up] The bot is not set up yet: its server's ID is missing. Please tell an administrator.
        [wrong-guild] The bot is set up for another server.
        [store] The bot's database cannot be reached right now. Please try again in a minute.
        [word-list] The list of banned words cannot be read, so no prompt is accepted. Please tell an administrator.
        [forgetting] Your data is being erased right now. Please try again in a moment.
       *[other] No new requests are accepted right now. Please try again later.
    }
error-generation = Something went wrong while making it. Please try again.
error-engine-unavailable = The GPU server failed or could not be reached. Please try again.
error-server-lacks = The GPU server is missing something this model needs. Please tell an administrator.
error-out-of-memory = The GPU ran out of memory, even for this picture alone. Try a smaller size.
error-fusion-refused = This picture cannot be made together with others. It will now be made separately.
error-workflow-rejected = The GPU server did not accept this request. Please tell an administrator.
error-execution-failed = The GPU server had an error while making it. Please try again; if it happens again, tell an administrator.
error-no-output = The GPU server sent no picture. Please try again.
error-model-gone = No GPU has { $model } any more. Please choose another model.
error-attempts-exhausted = Every attempt failed. Please try again later.
error-store = The bot's database cannot be reached right now. Please try again in a minute.
error-permissions = { $permissions ->
        [none] Discord does not let the bot do that here. Please ask an administrator to check the bot's permissions in this channel and in the category FuLLet.
       *[other] The bot is not allowed to do that here. Please ask an administrator to give it what is missing: { $permissions }.
    }
error-form-number = “{ $value }” is not a number.
error-no-picture-here = There is no picture in that message.
error-message-unchanged = The bot could not change or delete that message. Please try again later.
error-no-negative = { $model } does not use negative prompts. Leave that field empty.
error-gone = The bot has no record of that picture.
error-not-a-member = Only members of the bot's server can do this.
