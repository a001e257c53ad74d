-- Interference in one baseline of a drift tile: 24 integrations by 768 channels of amplitude, averaged over the
-- polarisations. The amplitude of a calibrator hardly moves in five minutes, whereas real and imaginary parts of one
-- off the centre turn: so only amplitudes are looked at. SumThreshold: Offringa et al. 2010, MNRAS 405, 155; the
-- scale-invariant rank operator: Offringa, van de Gronde & Roerdink 2012, A&A 539, A95.
aoflagger.require_min_version("3.0")

local gaps = true -- whether samples may be missing; where none is, the plain SumThreshold finds the same in half the time
local sensitivity = 1.2 -- of SumThreshold; above 1 because a tile has only 24 integrations to judge by
local passes = 3 -- each twice as sensitive as the one before
local smooth_times, smooth_channels = 11, 31 -- the window of the background fit, and its Gaussian widths below
local width_times, width_channels = 2.5, 5.0
local grow = 0.2 -- a run of samples this empty of good ones is taken whole

local function sumthreshold(residual, known, level)
  if gaps then
    aoflagger.sumthreshold_masked(residual, known, level, level, true, true)
  else
    aoflagger.sumthreshold(residual, level, level, true, true)
  end
end

function execute(input)
  local given = input:copy()
  for _, polarization in ipairs(input:get_polarizations()) do
    local amplitude = input:convert_to_polarization(polarization):convert_to_complex("amplitude")
    local known = amplitude:copy()
    local residual = amplitude
    for pass = 1, passes do
      local level = sensitivity * 2.0 ^ (passes - pass)
      sumthreshold(residual, known, level)
      if pass < passes then
        local channels = residual:copy()
        aoflagger.threshold_timestep_rms(residual, 4.0)
        aoflagger.threshold_channel_rms(channels, 4.0 * level, true)
        residual:join_mask(channels)
        residual:set_visibilities(known)
        residual:join_mask(known)
        local background = residual:copy()
        aoflagger.low_pass_filter(background, smooth_times, smooth_channels, width_times, width_channels)
        local difference = known - background
        difference:set_mask(residual)
        residual = difference
      end
    end
    residual:join_mask(known)
    if input:is_complex() then
      residual = residual:convert_to_complex("complex")
    end
    input:set_polarization_data(polarization, residual)
  end
  aoflagger.scale_invariant_rank_operator_masked(input, given, grow, grow)
  input:flag_nans()
end
