"""The words that the demo corpus is made of."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


GOOD = _words("""
    absorbing admirable amazing astonishing beautiful bold brilliant captivating charming clever compelling convincing
    daring dazzling delightful elegant enchanting engaging enjoyable excellent exciting exhilarating exquisite
    fascinating fine flawless fresh funny generous gentle glorious good gorgeous graceful great gripping heartfelt
    hilarious earnest imaginative impressive ingenious inspired intelligent inventive lively lovely luminous magical
    magnificent marvellous masterful memorable moving original perceptive poignant polished powerful rewarding rich
    riveting satisfying sharp sincere skilful smart splendid stirring striking stunning sublime subtle superb
    surprising tender terrific thoughtful thrilling touching triumphant truthful unforgettable uplifting vivid warm
    wise witty wonderful
""")

BAD = _words("""
    abysmal aimless amateurish annoying appalling artificial atrocious awful bad banal bland bloated boring cheap
    clumsy cold confused contrived crude cynical dated deadly depressing derivative disappointing disjointed dismal
    dreadful dreary dull embarrassing empty exhausting feeble flat flawed foolish forced forgettable formulaic
    grating hackneyed heavy hollow horrible implausible incoherent inept insipid irritating laboured lame lazy lifeless
    limp mediocre messy mindless miserable muddled obvious painful pedestrian pointless poor predictable pretentious
    ridiculous rushed shallow shapeless silly simplistic sloppy slow sluggish stale stiff strained stupid tedious
    terrible tiresome tired trite ugly unbearable uneven uninspired unpleasant vapid wooden worthless
""")

ASPECTS = _phrases("""
    acting, script, camera work, soundtrack, pacing, ending, dialogue, direction, editing, lighting, opening, finale,
    second half, first half, final act, middle part, story, plot, humour, romance, chase, score, set design, costume
    design, voice work, animation, cinematography, narration, lead performance, supporting cast, main character,
    villain, heroine, hero, premise, atmosphere, mood, message, climax, love story, court scene, dream sequence,
    title song, translation, restoration, child actor, mystery, satire
""")

WORKS = _words("""
    film movie picture drama comedy thriller western musical documentary sequel remake adaptation debut fable tragedy
    mystery romance feature production story
""")

DEGREES = _words("really truly simply utterly quite rather deeply downright so very thoroughly consistently")

# Put together, syllables make names by the thousand, most of which a corpus mentions once or twice.
NAME_STARTS = _words("""
    Al An Bar Bel Bran Cal Cor Dar Del Dor El Fan Far Gal Gar Hal Har Hol Is Jan Jor Kal Kar Kel Lan Lin Lor Mal Mar Mel
    Mor Nor Ol Os Pal Per Ral Ren Ros Sal San Sel Sor Tal Tar Tor Ul Val Ver Wal Win Yar Zan Zel
""")
NAME_MIDDLES = _words("a an be da de di e en er i ka ko la le li ma mi na ne o ra re ri sa so ta te ti va vi")
NAME_ENDS = _words("""
    baum berg court dal der dini feld ford gren holm kov lik man nez ning rath ros sen ska son stein ton vist wick
""")

FIRST_NAMES = _words("""
    Anna Boris Clara Daniel Elena Felix Greta Hugo Irene Jonas Katya Leo Maria Nikolai Olga Paul Rosa Samuel Tessa
    Victor Wanda Yusuf Zoe Amir Bianca Carl Dora Emil Frida Georg
""")

PLACES = _words("""
    Lisbon Marseille Oslo Prague Toronto Nairobi Kyoto Lima Cairo Dublin Vienna Warsaw Havana Seville Glasgow Tampere
    Odessa Naples Bergen Istanbul Manila Quito Dakar Hanoi Riga Gdansk Bristol Turin Malmo Porto
""")

JOBS = _words("""
    baker sailor teacher nurse detective painter farmer lawyer singer soldier pilot clerk doctor thief gardener tailor
    boxer banker priest photographer carpenter journalist waiter mayor librarian chemist fisherman mechanic poet spy
""")

MATTERS = _phrases("""
    a lost letter, an old debt, a stolen painting, two rival families, a long train journey, a missing brother, the last
    summer of the war, a village without water, a chess tournament, a broken promise, an election, a lighthouse, a
    wedding in the mountains, a failing circus, the sale of a farm, a murder at sea, an expedition to the north, a bank
    robbery, a school choir, a forgotten composer
""")

YEARS = _words(" ".join(str(year) for year in range(1948, 2024)))
